"""The routes that the spawners add to the hub's API, and the one that they take out of it.

JupyterHub imports every spawner that is installed, whichever it uses: a hub with plain batchspawner keeps batchspawner's route.
"""

from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub import apihandlers
from tornado import web

from emkit_spawner.base import JobSpawner
from emkit_spawner.outlook import OutlookHandler
from emkit_spawner.report import JobReportHandler
from emkit_spawner.resubmit import ResubmitHandler
from emkit_spawner.sessions import SessionHandler
from emkit_spawner.system import SystemHandler
from emkit_spawner.waking import wake

ROUTES = [
    (r"/api/emkit/job", JobReportHandler),
    (r"/api/emkit/outlook", OutlookHandler),
    (r"/api/emkit/resubmit", ResubmitHandler),
    (r"/api/emkit/sessions/([^/]+)/([^/]*)", SessionHandler),
    (r"/api/emkit/system", SystemHandler),
]
TAKEN_OUT = r"/api/batchspawner"  # importing batchspawner put it there: it sets any attribute that a job posts


class TakenOut(BatchSpawnerAPIHandler):
    """There is no such route in a hub whose spawner is ours."""

    async def prepare(self) -> None:
        if issubclass(self.settings["spawner_class"], JobSpawner):
            raise web.HTTPError(404)
        await super().prepare()


def install() -> None:
    """Put ours among the hub's handlers. JupyterHub collects them after it has loaded the spawner's class."""
    ours = {route for route, _ in ROUTES}
    kept = [handler for handler in apihandlers.default_handlers if handler[0] not in {TAKEN_OUT, *ours}]
    apihandlers.default_handlers[:] = [*kept, (TAKEN_OUT, TakenOut), *ROUTES]
    wake()
