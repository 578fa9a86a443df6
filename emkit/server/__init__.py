"""The Jupyter server extension: Neuroglancer's client and the data it shows, below the server's own address and behind its own
login.

    <base>emkit/v/<any name>/                the client
    <base>emkit/data/<capability>/<path>     files of a granted folder, by range
    <base>emkit/sections/<capability>/<key>  a granted folder of sections, as a zarr array
    <base>emkit/predict/<capability>/<key>   what a model predicts of a granted volume, as a zarr array
    <base>emkit/correct/<capability>/…       a granted segmentation as its edits make it, and the edits (correcting.py)

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


def handlers(base_url: str, roots: Sequence[str | Path] = ("/",), *, correct: bool = False) -> list[Route]:
    """The routes below a base URL (ends in a slash): (pattern, handler class, keyword arguments), for tornado.

    Only folders at or below one of `roots` are ever served. Edits are taken only with `correct`: where guests come, nothing is
    written. The classes need `current_user` from a class mixed in before them. Also provides the key for kernels that this process
    starts from now on (see `capability.provide_key`).
    """
    from emkit.server.capability import provide_key
    from emkit.server.serving import CORRECT, QUIET, Client, Data, Gate, Page, Predictions, Sections
    from emkit.view.client import client_folder

    gate = Gate(provide_key(), tuple(Path(root) for root in roots))
    base = re.escape(base_url)
    routes: list[Route] = [
        (rf"{base}emkit/v/[^/]+/", Page, {}),
        (rf"{base}emkit/v/[^/]+/({re.escape(QUIET.name)}|{re.escape(CORRECT.name)})", Client, {"path": str(QUIET.parent)}),
        (rf"{base}emkit/v/[^/]+/(.*)", Client, {"path": str(client_folder())}),
        (rf"{base}emkit/data/(.*)", Data, {"gate": gate}),
        (rf"{base}emkit/sections/(.*)", Sections, {"gate": gate}),
        (rf"{base}emkit/predict/(.*)", Predictions, {"gate": gate}),
    ]
    if correct:
        from emkit.server.correcting import CorrectedCells, Edits, correcting_key

        own = Gate(correcting_key(gate.key), gate.roots)
        routes += [
            (rf"{base}emkit/correct/([^/]+)/edits", Edits, {"gate": own}),
            (rf"{base}emkit/correct/(.*)", CorrectedCells, {"gate": own}),
        ]
    return routes


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit.server"}]


def _load_jupyter_server_extension(app: "ServerApp") -> None:
    from jupyter_server.base.handlers import JupyterHandler

    from emkit.server.settings import ViewServer
    from emkit.server.telling import Telling

    settings = ViewServer(parent=app)
    routes = handlers(app.base_url, roots := settings.roots, correct=settings.correct)
    app.web_app.add_handlers(
        ".*$", [(pattern, type(cls.__name__, (cls, JupyterHandler), {}), given) for pattern, cls, given in routes]
    )
    app.log.info("emkit: the viewer serves folders below %s", ", ".join(roots))
    if telling := Telling.of_environment():
        app.io_loop.add_callback(telling.go_on)
