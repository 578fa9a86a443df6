"""The routes that the spawners add to the hub's API, and the one that they take out of it."""

from jupyterhub import apihandlers

from emkit_spawner.outlook import OutlookHandler
from emkit_spawner.report import JobReportHandler
from emkit_spawner.resubmit import ResubmitHandler
from emkit_spawner.sessions import SessionHandler
from emkit_spawner.system import SystemHandler

ROUTES = [
    (r"/api/emkit/job", JobReportHandler),
    (r"/api/emkit/outlook", OutlookHandler),
    (r"/api/emkit/resubmit", ResubmitHandler),
    (r"/api/emkit/sessions/([^/]+)/([^/]*)", SessionHandler),
    (r"/api/emkit/system", SystemHandler),
]
TAKEN_OUT = r"/api/batchspawner"  # importing batchspawner put it there: it sets any attribute that a job posts


def install() -> None:
    """Put ours among the hub's handlers. JupyterHub collects them after it has loaded the spawner's class."""
    ours = {route for route, _ in ROUTES}
    kept = [handler for handler in apihandlers.default_handlers if handler[0] not in {TAKEN_OUT, *ours}]
    apihandlers.default_handlers[:] = [*kept, *ROUTES]
