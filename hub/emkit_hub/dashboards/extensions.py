"""Jupyter server extensions by name, their handlers behind the guard.

The service knows an extension by the name in its settings only, and gives it what every extension uses of a server:
`web_app` (`settings`, `add_handlers`), `base_url`, `log` and `config`.
"""

import importlib
import os
from collections.abc import Iterable
from typing import Any

from tornado import web
from traitlets.config import Config, LoggingConfigurable

from emkit_hub.dashboards.guard import guarded


class _GuardedApplication:
    """The part of a tornado application that extensions use; every handler they add is put behind the guard."""

    def __init__(self, application: web.Application) -> None:
        self._application = application
        self.settings = application.settings

    def add_handlers(self, host_pattern: str, host_handlers: Iterable[Any]) -> None:
        """As tornado's, guarded."""
        self._application.add_handlers(host_pattern, [(route[0], guarded(route[1]), *route[2:]) for route in host_handlers])


class ExtensionHost(LoggingConfigurable):
    """The server as an extension sees it."""

    def __init__(self, application: web.Application, config: Config) -> None:
        super().__init__(config=config)
        self.web_app = _GuardedApplication(application)
        self.base_url: str = application.settings["base_url"]


def load_extensions(names: Iterable[str], host: ExtensionHost) -> dict[str, str]:
    """Load each extension point of each package; one that cannot be loaded stops the service at its start.

    Returns the environment variables that the extensions set for the kernels.
    """
    before = dict(os.environ)
    for name in names:
        for point in importlib.import_module(name)._jupyter_server_extension_points():
            importlib.import_module(point["module"])._load_jupyter_server_extension(host)
            host.log.info("serving the extension %s", point["module"])
    return {name: value for name, value in os.environ.items() if before.get(name) != value}
