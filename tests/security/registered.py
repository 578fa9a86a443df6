"""Prints the routes that a hub of this configuration registers, as JSON: [[pattern, METHOD, handler], …].

    python -m tests.security.registered CONFIG     with the environment of the hub

In a process of its own, since JupyterHub's lists of handlers are global.
"""

import json
import sys

from jupyterhub.app import JupyterHub
from tornado.web import RequestHandler


def main(config: str) -> None:
    app = JupyterHub(log_level="ERROR")
    app.load_config_file(config)
    _ = app.spawner_class  # importing the spawner adds its routes
    app.authenticator = app.authenticator_class(parent=app)
    app.init_handlers()
    found = [
        (pattern, method, f"{handler.__module__}.{handler.__name__}")
        for pattern, handler, *_ in app.handlers
        for method in RequestHandler.SUPPORTED_METHODS
        if getattr(handler, method.lower()) is not getattr(RequestHandler, method.lower()) and method not in ("HEAD", "OPTIONS")
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
