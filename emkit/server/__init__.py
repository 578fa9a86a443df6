"""The Jupyter server extension: Neuroglancer's client and the data it shows, below the server's own address and behind its own
login.

    <base>emkit/v/<any name>/                the client
    <base>emkit/data/<capability>/<path>     files of a granted folder, by range
    <base>emkit/sections/<capability>/<key>  a granted folder of sections, as a zarr array
    <base>emkit/predict/<capability>/<key>   what a model predicts of a granted volume, as a zarr array

Below a hub it also tells the hub of the user's runs (telling.py).

A server that is not Jupyter's (the dashboards) takes `handlers` and mixes its own login into each class. See capability.py for what
protects the data.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp
    from tornado.web import RequestHandler

Route = tuple[str, "type[RequestHandler]", dict[str, Any]]


def handlers(base_url: str, roots: Sequence[str | Path] = ("/",)) -> list[Route]:
    """The routes below a base URL (ends in a slash): (pattern, handler class, keyword arguments), for tornado.

    Only folders at or below one of `roots` are ever served. The classes need `current_user` from a class mixed in before them.
    Also provides the key for kernels that this process starts from now on (see `capability.provide_key`).
    """
    from emkit.server.capability import provide_key
    from emkit.server.serving import QUIET, Client, Data, Gate, Page, Predictions, Sections
    from emkit.view.client import client_folder

    gate = Gate(provide_key(), tuple(Path(root) for root in roots))
    base = re.escape(base_url)
    return [
        (rf"{base}emkit/v/[^/]+/", Page, {}),
        (rf"{base}emkit/v/[^/]+/({re.escape(QUIET.name)})", Client, {"path": str(QUIET.parent)}),
        (rf"{base}emkit/v/[^/]+/(.*)", Client, {"path": str(client_folder())}),
        (rf"{base}emkit/data/(.*)", Data, {"gate": gate}),
        (rf"{base}emkit/sections/(.*)", Sections, {"gate": gate}),
        (rf"{base}emkit/predict/(.*)", Predictions, {"gate": gate}),
    ]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit.server"}]


def _load_jupyter_server_extension(app: "ServerApp") -> None:
    from jupyter_server.base.handlers import JupyterHandler

    from emkit.server.settings import ViewServer
    from emkit.server.telling import Telling

    roots = ViewServer(parent=app).roots
    routes = handlers(app.base_url, roots)
    app.web_app.add_handlers(
        ".*$", [(pattern, type(cls.__name__, (cls, JupyterHandler), {}), given) for pattern, cls, given in routes]
    )
    app.log.info("emkit: the viewer serves folders below %s", ", ".join(roots))
    if telling := Telling.of_environment():
        app.io_loop.add_callback(telling.go_on)
