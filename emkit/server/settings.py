"""What a site may set of the extension, in Jupyter's own configuration files."""

from traitlets import Bool, List, Unicode
from traitlets.config import Configurable


class ViewServer(Configurable):
    roots = List(
        Unicode(),
        default_value=["/"],
        help="Folders below which the viewer serves data that a kernel granted. By default all that the server's account can read, "
        "as its kernels can.",
    ).tag(config=True)
    correct = Bool(
        default_value=True,
        help="Whether cells of a segmentation that a kernel granted for it may be corrected: edits are written beside it, as the "
        "server's account. To be switched off where guests come.",
    ).tag(config=True)
