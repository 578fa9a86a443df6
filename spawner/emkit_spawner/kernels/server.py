"""The Jupyter server's extension: kernels are taken back before the first request, orphans ended, and what waits is told.

GET    <base>emkit/kernels          the last word on each kernel that waits or died
DELETE <base>emkit/kernels/ID       read: forget it
"""

import asyncio
import hashlib
import json
import signal
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

from emkit_spawner.kernels import orphans
from emkit_spawner.kernels.provisioner import NodeProvisioner
from emkit_spawner.kernels.record import Owner
from emkit_spawner.kernels.settings import PROVISIONER
from emkit_spawner.kernels.story import Board
from emkit_spawner.kernels.takeback import take_back_all

LAB_EXTENSIONS = Path(__file__).parent / "lab"
SWEEP_S = 30.0
RECOVERY_S = 60.0


class _Kernels(APIHandler):
    auth_resource = "kernels"

    def initialize(self, board: Board) -> None:
        self.board = board


class KernelsHandler(_Kernels):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(list(self.board.last.values())))


class KernelHandler(_Kernels):
    @web.authenticated
    @authorized
    async def delete(self, kernel_id: str) -> None:
        self.board.last.pop(kernel_id, None)
        self.set_status(204)
        self.finish()


def _load_jupyter_server_extension(app: ServerApp) -> None:
    roots = _roots(app)
    manager: Any = app.kernel_manager
    board = Board(manager.parent.event_logger)
    routes = [(r"emkit/kernels", KernelsHandler), (r"emkit/kernels/([0-9a-f-]+)", KernelHandler)]
    app.web_app.add_handlers(".*$", [(url_path_join(app.base_url, path), handler, {"board": board}) for path, handler in routes])
    _show_in_lab(app)
    # a kernel that waits has an id, a reason and a way to delete it; without this the request that starts it just hangs
    manager.use_pending_kernels = True
    me = Owner.me(server=True)
    if me.server and app.session_manager.database_filepath == ":memory:":  # which notebook has which kernel, kept over a restart
        roots[0].mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(me.server.encode()).hexdigest()[:16]
        app.session_manager.database_filepath = str(roots[0] / f"sessions-{name}.sqlite")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # a server without a terminal dies of the SIGINT that hubs send, and would leave its jobs behind
        signal.signal(signal.SIGINT, app._signal_stop)
    # on this loop: under JupyterHub the current one at this moment is not the one that will run, and kernels' streams keep theirs
    app.io_loop.run_sync(lambda: asyncio.wait_for(take_back_all(app, roots, me), RECOVERY_S))
    app.io_loop.add_callback(_keep_sweeping, app, roots, me)


def _show_in_lab(app: ServerApp) -> None:
    """By a setting of this server, not a file in share/jupyter, so that a Lab without such kernels never sees the extension.

    Servers load their extensions in the order of their names: this comes before Lab or Notebook reads the setting.
    """
    for applications in app.extension_manager.extension_apps.values():
        for lab in applications:
            if lab.has_trait("extra_labextensions_path"):
                lab.extra_labextensions_path = [*lab.extra_labextensions_path, str(LAB_EXTENSIONS)]


def _roots(app: ServerApp) -> list[Path]:
    """Where the kernels that this server offers have their folders; jupyter_server_config.d cannot say it, the kernelspecs do."""
    specs: Any = app.kernel_spec_manager
    ours = (found["spec"]["metadata"].get("kernel_provisioner", {}) for found in specs.get_all_specs().values())
    given = [one["config"]["folder"] for one in ours if one.get("provisioner_name") == PROVISIONER]
    return [Path(folder).expanduser() for folder in dict.fromkeys([*given, NodeProvisioner.folder.default_value])]


async def _keep_sweeping(app: ServerApp, roots: list[Path], me: Owner) -> None:
    while True:
        for root in roots:
            try:
                await orphans.sweep(root, me, app.log)
            except OSError as error:
                app.log.warning("Kernels that nobody owns are looked for again in %g s: %s", SWEEP_S, error)
        await asyncio.sleep(SWEEP_S)
