"""Prints the routes that are registered, as JSON: [[pattern, METHOD, handler], …].

    python -m tests.security.registered hub CONFIG     of a hub of this configuration, with its environment
    python -m tests.security.registered server         of emkit's extensions of a user's server, below /user/x/
    python -m tests.security.registered overview       of the overview, below /services/overview/
    python -m tests.security.registered dashboards     of the dashboards with their extensions, below /services/dashboards/

In a process of its own: JupyterHub's lists of handlers are global, and a server's extensions take it for theirs.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tornado.web import RequestHandler

EXTENSIONS = ("emkit.server", "emkit_hub.activity", "emkit_spawner.kernels", "emkit_spawner.session")
Route = tuple[str, type[RequestHandler]]


def of_hub(config: str) -> Iterator[Route]:
    from jupyterhub.app import JupyterHub

    app = JupyterHub(log_level="ERROR")
    app.load_config_file(config)
    _ = app.spawner_class  # importing the spawner adds its routes
    app.authenticator = app.authenticator_class(parent=app)
    app.init_handlers()
    for pattern, handler, *_ in app.handlers:
        yield pattern, handler


def of_server() -> Iterator[Route]:
    from jupyter_server.serverapp import ServerApp

    os.environ |= {
        "EMKIT_JOB": "x",
        "JUPYTERHUB_USER": "x",
        "JUPYTERHUB_API_TOKEN": "x",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1",
    }
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"HOME": home, "JUPYTER_RUNTIME_DIR": home, "JUPYTER_DATA_DIR": home}
        app = ServerApp(base_url="/user/x/", log_level="ERROR", allow_root=True)
        app.jpserver_extensions = dict.fromkeys(EXTENSIONS, True)
        app.initialize([], new_httpserver=False)
        failed = [name for name in EXTENSIONS if name not in app.extension_manager.extensions]
        if failed:
            raise SystemExit(f"not loaded: {failed}")
        for pattern, handler in of(app.web_app.default_router):
            if handler.__module__.startswith("emkit") or "emkit/" in pattern:
                yield pattern, handler


def of_overview() -> Iterator[Route]:
    from emkit_hub.overview.app import application
    from emkit_hub.overview.settings import Service
    from jupyterhub.services.auth import HubOAuth

    with tempfile.TemporaryDirectory() as folder:
        hub = HubOAuth(api_token="x", api_url="http://127.0.0.1:1", oauth_client_id="service-x")
        yield from of(application(Service(folder=Path(folder)), hub, "/services/overview/").default_router)


def of_dashboards() -> Iterator[Route]:
    from emkit_hub.dashboards.app import routes
    from emkit_hub.dashboards.extensions import ExtensionHost, load_extensions
    from tornado.web import Application
    from traitlets.config import Config

    base_url = "/services/dashboards/"
    application = Application(routes(base_url, [], [], ""), base_url=base_url)
    yield from of(application.default_router)
    load_extensions(("emkit.server",), ExtensionHost(application, Config(ViewServer={"correct": False})))
    yield from of(application.default_router)


def of(router: Any) -> Iterator[Route]:
    """Of tornado's tree of routers: an extension's routes are a branch of their own."""
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from of(rule.target)
        elif isinstance(rule.target, type) and issubclass(rule.target, RequestHandler):
            yield rule.matcher.regex.pattern.removesuffix("$"), rule.target


def methods(handler: Any) -> Iterator[str]:
    for method in RequestHandler.SUPPORTED_METHODS:
        own = getattr(handler, method.lower()) is not getattr(RequestHandler, method.lower())
        if own and method in handler.SUPPORTED_METHODS and method not in ("HEAD", "OPTIONS"):
            yield method


def main(of_what: str, *config: str) -> None:
    kinds: dict[str, Callable[..., Iterator[Route]]]
    kinds = {"hub": of_hub, "server": of_server, "overview": of_overview, "dashboards": of_dashboards}
    routes = kinds[of_what](*config)
    found = [
        (pattern, method, f"{handler.__module__}.{handler.__name__}") for pattern, handler in routes for method in methods(handler)
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
