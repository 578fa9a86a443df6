"""The user's own server tells the hub of the user's runs, for its overview page: the hub itself can read nobody's home.

    POST <JUPYTERHUB_API_URL>/emkit/runs   with the server's token; the JSON of docs/reference/overview.md

It looks every few seconds, in a thread of its own, and tells when something has changed. Where there is no hub nothing
happens; while the hub is silent, or refuses, the server works on, and what has changed is told when it listens again.
"""

import asyncio
import json
import logging
import os
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emkit.run.folder import State
from emkit.runs.glance import Glance, Glances

LOOK_S = 3.0
PATIENCE_S = 10.0
MOST, LARGEST_BYTES = 50, 64 * 1024  # what the hub takes
TITLE, MESSAGE = 200, 500  # letters
STATES = {State.STARTING: "running"}  # where the hub's word is another

log = logging.getLogger("emkit.server")


@dataclass
class Telling:
    """Tells a hub at `url` of my runs."""

    url: str
    token: str
    certificates: ssl.SSLContext | None = None
    told: bytes = b""
    glances: Glances = field(default_factory=Glances)

    @classmethod
    def of_environment(cls) -> "Telling | None":
        """As JupyterHub's variables say; None where no hub has started this server."""
        if not {"JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER"} <= os.environ.keys():
            return None
        url = f"{os.environ['JUPYTERHUB_API_URL'].rstrip('/')}/emkit/runs"
        return cls(url, os.environ["JUPYTERHUB_API_TOKEN"], _certificates())

    async def go_on(self) -> None:
        """Look and tell until the server ends."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """Tell what has changed since the last time; whether the hub has taken it."""
        try:
            if (now := posting(self.glances.newest(MOST))) == self.told:
                return False
            self._post(now)
        except OSError as silent:  # the hub is away or refuses, or the folder of the runs is
            log.debug("The hub was not told of the runs: %s", silent)
            return False
        self.told = now
        return True

    def _post(self, body: bytes) -> None:
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        # never through a proxy of the environment: the hub is near, and the request holds the server's token
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.certificates is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.certificates))
        request = urllib.request.Request(self.url, body, headers, method="POST")
        with urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE_S):
            return


def posting(runs: list[Glance]) -> bytes:
    """The newest of these runs in the hub's words, as many as it takes; equal runs are equal bytes."""
    told = [_told(run) for run in runs[:MOST]]
    while len(body := json.dumps({"runs": told}, ensure_ascii=False).encode()) > LARGEST_BYTES:
        told.pop()
    return body


def _told(run: Glance) -> dict[str, Any]:
    message = str(run.tick) if run.tick and not run.ended else run.message.partition("\n")[0]
    known = {
        "title": _title(run.out),
        "message": message[:MESSAGE],
        "done": run.tick.fraction if run.tick and not run.ended else None,
        "began_at": run.began_at,
        "ended_at": run.said_at if run.ended else None,
    }
    return {
        "id": run.id[:64], "step": run.step, "state": STATES.get(run.state, run.state.value),
        **{name: value for name, value in known.items() if value is not None},
    }  # fmt: skip


def _title(out: str | None) -> str:
    """The output's path, from the home on where it lies there; of a long one the end."""
    if out is None:
        return ""
    home = f"{Path.home()}/"
    shown = f"~/{out.removeprefix(home)}" if out.startswith(home) else out
    return shown if len(shown) <= TITLE else f"…{shown[1 - TITLE :]}"


def _certificates() -> ssl.SSLContext | None:
    """Those of a hub with `internal_ssl`; None for one without."""
    if "JUPYTERHUB_SSL_CLIENT_CA" not in os.environ:
        return None
    context = ssl.create_default_context(cafile=os.environ["JUPYTERHUB_SSL_CLIENT_CA"])
    context.load_cert_chain(os.environ["JUPYTERHUB_SSL_CERTFILE"], os.environ["JUPYTERHUB_SSL_KEYFILE"])
    return context
