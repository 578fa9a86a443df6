"""A real hub with the dashboards service, on free ports of loopback, and clients that speak to it as browsers do."""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import nbformat
from emkit_hub import proxy
from emkit_hub.dashboards.channels import PROTOCOL
from emkit_hub.dashboards.settings import ENVIRONMENT_VARIABLE, DashboardSettings
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from yarl import URL

NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
PASSWORD = secrets.token_urlsafe(16)
_CONFIG = """
import json, os
from emkit_hub.authenticator import TwoPasswordAuthenticator
c = get_config()
given = json.loads(os.environ["SITE"])
c.JupyterHub.bind_url = given["url"]
c.JupyterHub.hub_port = given["ports"][1]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['ports'][2]}"
c.ConfigurableHTTPProxy.command = given["proxy"]
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.authenticator_class = TwoPasswordAuthenticator
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"owner"}
c.SharedPasswordAuthenticator.admin_password = given["owner_password"]
c.SharedPasswordAuthenticator.user_password = given["password"]
c.JupyterHub.load_roles = [{"name": "user", "scopes": [
    "access:services!service=dashboards", "access:services!service=other", "read:users:name!user", "read:users:groups!user"]}]
c.JupyterHub.services = [
    {"name": "dashboards", "url": f"http://127.0.0.1:{given['ports'][3]}", "oauth_no_confirm": True, "display": False,
     "command": [given["python"], "-m", "emkit_hub.dashboards"], "environment": given["environment"]},
    {"name": "other", "url": f"http://127.0.0.1:{given['ports'][4]}", "oauth_no_confirm": True, "display": False,
     "command": [given["python"], given["other"]]},
]
c.JupyterHub.spawner_class = "simple"
"""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; held together until all are known, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def write_notebook(path: Path, cells: list[str], **emkit: Any) -> Path:
    """A notebook with these code cells, marked as a dashboard unless told otherwise."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "emkit": {"dashboard": True, "title": path.stem.title(), "summary": f"About {path.stem}.", **emkit},
        },
    )
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


class Site:
    """The running hub; use as a context manager. `log` is what hub, proxy and service said."""

    def __init__(self, folder: Path, settings: DashboardSettings, **environment: str) -> None:
        ports = free_ports(5)
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.base = f"{self.url}/services/dashboards/"
        self.log = folder / "site.log"
        self.owner_password = secrets.token_urlsafe(32)
        given = {
            "url": self.url,
            "ports": ports,
            "proxy": [str(proxy.NODE), str(proxy.PREFIX / "lib" / "node_modules" / proxy.PACKAGE / "bin" / proxy.PACKAGE)],
            "python": sys.executable,
            "password": PASSWORD,
            "owner_password": self.owner_password,
            "other": str(Path(__file__).with_name("other_service.py")),
            "environment": {ENVIRONMENT_VARIABLE: settings.model_dump_json(), **environment},
        }
        (folder / "jupyterhub_config.py").write_text(_CONFIG, encoding="utf-8")
        self._folder = folder
        self._environment = {**os.environ, "SITE": json.dumps(given), "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]
            self.hub = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hub.send_signal(signal.SIGTERM)
        self.hub.wait(30)

    async def ready(self, warm: int = 0) -> None:
        """Wait until the service answers and, if asked, holds so many warm kernels."""
        async with Guest(self) as probe:
            await until(lambda: probe.answers(f"{self.url}/hub/health", 200), 60, self.log)
            await until(lambda: probe.answers(self.base, 302), 60, self.log)
            if warm:
                await until(lambda: warm_kernels(self.log) >= warm, 120, self.log)

    async def all_free(self, guest: "Guest") -> None:
        """Wait until nobody holds a place."""

        async def free() -> bool:
            found = re.search(r"<b>(\d+)</b> of (\d+) places free", await guest.gallery())
            return found is not None and found[1] == found[2]

        await until(free, 60, self.log)

    async def guest(self, name: str = "ann") -> "Guest":
        """A guest who is logged in and has been to the gallery."""
        guest = Guest(self)
        try:
            await guest.log_in(name, PASSWORD)
            await guest.gallery()
        except BaseException:
            await guest.http.close()
            raise
        return guest


def warm_kernels(log: Path) -> int:
    """How many kernels the service has said to be warm in all."""
    return len(re.findall(r"is warm: ", log.read_text(encoding="utf-8", errors="replace")))


async def until(holds: Callable[[], Any], seconds: float, log: Path) -> None:
    """Ask until it holds; fail with the end of the log."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer = holds()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"it did not hold within {seconds} s; the log ends:\n{log.read_text(errors='replace')[-4000:]}")
        await asyncio.sleep(0.05)


class Guest:
    """One person's browser, without the browser: cookies, pages, and widgets' websockets."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.kernels: list[str] = []
        # the proxy closes idle connections when it likes, and a POST that meets the closing is not repeated by aiohttp
        connector = aiohttp.TCPConnector(force_close=True)
        jar, patience = aiohttp.CookieJar(unsafe=True), aiohttp.ClientTimeout(total=120)
        self.http = aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.leave()
        finally:
            await self.http.close()

    async def log_in(self, name: str, password: str) -> int:
        """Send the hub's login form; 302 when it lets in."""
        page = f"{self.site.url}/hub/login"
        async with self.http.get(page) as answer:
            await answer.read()
        token = next(cookie.value for cookie in self.http.cookie_jar if cookie.key == "_xsrf")
        form = {"username": name, "password": password, "_xsrf": token}
        async with self.http.post(page, data=form, headers=NAVIGATE, allow_redirects=False) as answer:
            return answer.status

    async def gallery(self) -> str:
        """The gallery, with the hub's redirects on the first visit."""
        async with self.http.get(self.site.base, headers=NAVIGATE) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def ask(self, path: str, method: str = "GET", headers: dict[str, str] = NAVIGATE, **more: Any) -> tuple[int, str]:
        """Status and text of one request below the service, redirects not followed."""
        url = URL(self.site.base + path, encoded=True)
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **more) as answer:
            return answer.status, (await answer.read()).decode(errors="replace")

    async def answers(self, url: str, status: int) -> bool:
        """Whether something answers there with this status."""
        try:
            async with self.http.get(url, allow_redirects=False) as answer:
                return answer.status == status
        except aiohttp.ClientConnectionError:
            return False

    async def open(self, name: str, query: str = "") -> str:
        """Open a dashboard; returns its kernel's id."""
        status, page = await self.ask(f"open/{name}{query}")
        assert status == 200, (status, page[-500:])
        self.kernels.append(kernel_id(page))
        return self.kernels[-1]

    @asynccontextmanager
    async def shown(self, name: str) -> AsyncIterator[str]:
        """Within, a dashboard is open in a tab that stays connected: a place that no page shows is soon given back. Its kernel."""
        kernel = await self.open(name)
        async with self.channels(kernel):
            yield kernel

    async def leave(self) -> None:
        """Give all places back, as pages do when they close."""
        for kernel in self.kernels:
            await self.ask(f"place/{kernel}", "POST", headers={"Origin": self.site.url})
        self.kernels.clear()

    def channels(self, kernel: str, protocols: tuple[str, ...] = (PROTOCOL,), **headers: str) -> "Channels":
        """The websocket of a kernel; use with `async with`."""
        return Channels(self, kernel, protocols, {"Origin": self.site.url, **headers})

    async def handshake(self, kernel: str, protocols: tuple[str, ...] = (PROTOCOL,), **headers: str) -> int:
        """The status that the websocket's handshake gets: 101 when it opens."""
        try:
            async with self.channels(kernel, protocols, **headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def kernel_id(page: str) -> str:
    """The kernel's id in a dashboard's page."""
    found = re.search(r'"kernelId": "([0-9a-f-]{36})"', page)
    assert found, page[-500:]
    return found[1]


class Channels:
    """The widgets' half of a page, over protocol v1."""

    def __init__(self, guest: Guest, kernel: str, protocols: tuple[str, ...], headers: dict[str, str]) -> None:
        self.session = uuid.uuid4().hex
        self._guest, self._protocols, self._headers = guest, protocols, headers
        self._url = f"{guest.site.base}api/kernels/{kernel}/channels?session_id={self.session}".replace("http", "ws", 1)

    async def __aenter__(self) -> Self:
        self.socket = await self._guest.http.ws_connect(self._url, headers=self._headers, protocols=self._protocols, max_msg_size=0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def send(self, kind: str, content: dict[str, Any], version: str = "2.1.0") -> None:
        """Send one message on the shell channel."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "version": "5.3",
            "date": "",
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {"version": version}, content)]
        await self.socket.send_bytes(serialize_msg_to_ws_v1(parts, "shell"))

    async def receive(self, wanted: Callable[[str, dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        """The content of the first message that is wanted."""
        async with asyncio.timeout(seconds):
            async for message in self.socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    _, parts = deserialize_msg_from_ws_v1(message.data)
                    content: dict[str, Any] = json.loads(parts[3])
                    if wanted(json.loads(parts[0])["msg_type"], content):
                        return content
        raise ConnectionError(f"the websocket was closed with {self.socket.close_code}")

    async def close_code(self, frame: bytes | str, seconds: float = 10) -> int | None:
        """Send a frame and wait for the server to close; 1006 when it hangs up before it has read the frame."""
        try:
            await (self.socket.send_str(frame) if isinstance(frame, str) else self.socket.send_bytes(frame))
        except ConnectionError:
            return aiohttp.WSCloseCode.ABNORMAL_CLOSURE
        async with asyncio.timeout(seconds):
            async for _ in self.socket:
                continue
        return self.socket.close_code

    async def models(self) -> dict[str, dict[str, Any]]:
        """All widgets of the kernel with their states, by model id; as a page asks for them when it opens."""
        comm = uuid.uuid4().hex
        await self.send("comm_open", {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}, version="1.0.0")
        await self.send("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
        content = await self.receive(lambda kind, content: kind == "comm_msg" and content["comm_id"] == comm)
        states: dict[str, dict[str, Any]] = content["data"]["states"]
        return states

    async def set(self, model: str, **state: Any) -> None:
        """Change a widget's state, as a person would in the page."""
        await self.send("comm_msg", {"comm_id": model, "data": {"method": "update", "state": state, "buffer_paths": []}})

    async def changed(self, model: str, name: str, to: Callable[[Any], bool], seconds: float = 30) -> Any:
        """Wait until the kernel sets a trait of a widget to what is wanted; returns the value."""

        def wanted(kind: str, content: dict[str, Any]) -> bool:
            state = content.get("data", {}).get("state", {}) if kind == "comm_msg" and content.get("comm_id") == model else {}
            return name in state and to(state[name])

        return (await self.receive(wanted, seconds))["data"]["state"][name]
