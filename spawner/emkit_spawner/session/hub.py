"""The hub as the server of a job sees it: questions with the server's own token."""

import json
import os
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from emkit_spawner.singleuser import hub_certificates

PATIENCE_S = 10.0


class HubError(RuntimeError):
    """The hub refused or does not answer: `status` is its own, or 503; the text is for the user."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Hub:
    """Reads JupyterHub's environment variables. Nothing here outlives one question."""

    def __init__(self) -> None:
        self.user = os.environ["JUPYTERHUB_USER"]
        self.server = os.environ.get("JUPYTERHUB_SERVER_NAME", "")
        self.api = os.environ["JUPYTERHUB_API_URL"].rstrip("/")
        self._headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}", "Content-Type": "application/json"}
        self._certificates = hub_certificates()

    @property
    def pending_page(self) -> str:
        """Where a browser waits for this server's next start."""
        base = os.environ.get("JUPYTERHUB_HOST", "") + os.environ.get("JUPYTERHUB_BASE_URL", "/")
        return f"{base}hub/spawn-pending/{quote(self.user)}/{quote(self.server)}".rstrip("/")

    async def session(self, *, usage: bool) -> dict[str, Any]:
        """What the hub knows of this server and its job, `usage` included or not. HubError when it does not answer."""
        path = f"/emkit/sessions/{quote(self.user)}/{quote(self.server)}"
        told: dict[str, Any] = await self._ask("GET", path if usage else f"{path}?usage=false")
        return told

    async def announcements(self) -> list[dict[str, Any]]:
        """What the hub's administrators tell everybody: records with id, text and level. HubError where there is no such route."""
        told: list[dict[str, Any]] = await self._ask("GET", "/emkit/announcements")
        return told

    async def resubmit(self) -> None:
        """Have the hub end this job and start a new one with the same options. HubError with its own words when it will not."""
        await self._ask("POST", "/emkit/resubmit", {})

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = HTTPRequest(
            self.api + path,
            method,
            self._headers,
            None if body is None else json.dumps(body),
            ssl_options=self._certificates,
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request)
        except HTTPClientError as error:  # tornado has numbers of its own for a hub that does not answer in time
            if error.response is None:
                raise HubError(503, f"The hub does not answer: {error.message}.") from error
            raise HubError(error.code, _message(error.response.body) or f"The hub answered {error.code}.") from error
        except OSError as error:
            raise HubError(503, f"The hub does not answer: {error.strerror or error}.") from error
        return json.loads(answer.body) if answer.body else None


def _message(body: bytes) -> str:
    """JupyterHub's errors are JSON with a message; a proxy's are a page, which tells a user nothing."""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("message") or "") if isinstance(told, dict) else ""
