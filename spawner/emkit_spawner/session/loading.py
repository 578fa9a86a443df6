"""Puts the routes and the Lab extension into a running server."""

from pathlib import Path

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from emkit_spawner.session.handlers import ResubmitHandler, SessionHandler
from emkit_spawner.session.watch import SessionWatch

LAB_EXTENSIONS = Path(__file__).parent / "lab"


def load(app: ServerApp) -> None:
    watch = SessionWatch(parent=app)
    routes = [("emkit/session", SessionHandler), ("emkit/session/resubmit", ResubmitHandler)]
    app.web_app.add_handlers(".*$", [(url_path_join(app.base_url, path), cls, {"watch": watch}) for path, cls in routes])
    # A setting of this server instead of a file in share/jupyter: a Lab that is no job of ours never sees it. Servers load their
    # extensions in the order of their names, so this comes before Lab or Notebook reads the setting.
    for applications in app.extension_manager.extension_apps.values():
        for lab in applications:
            if lab.has_trait("extra_labextensions_path"):
                lab.extra_labextensions_path = [*lab.extra_labextensions_path, str(LAB_EXTENSIONS)]
