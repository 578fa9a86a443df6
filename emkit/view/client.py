"""Where the Neuroglancer wheel keeps its client: an `index.html` with scripts, styles and decoders, made to be served by others."""

from importlib.util import find_spec
from pathlib import Path

from emkit.errors import ResourceError


def client_folder() -> Path:
    """The folder of the client's files. The package is found, not imported, for its import starts threads and loads numpy.

    Raises ResourceError where neuroglancer is not installed.
    """
    package = find_spec("neuroglancer")
    if package is None or package.origin is None:
        raise ResourceError(
            "The viewer needs the package neuroglancer, which is not installed here. Install it: pip install 'emkit[notebook]'."
        )
    return Path(package.origin).parent / "static" / "client"
