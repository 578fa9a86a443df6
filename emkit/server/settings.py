"""What a site may set of the extension, in Jupyter's own configuration files."""

from traitlets import List, Unicode
from traitlets.config import Configurable


class ViewServer(Configurable):
    roots = List(
        Unicode(),
        default_value=["/"],
        help="Folders below which the viewer serves data that a kernel granted. By default all that the server's account can read, "
        "as its kernels can.",
    ).tag(config=True)
