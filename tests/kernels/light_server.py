"""A light Jupyter server whose kernels are jobs: started, used over HTTP and websockets as JupyterLab does, and killed."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import websocket
from emkit_hub.data_folder import free_ports

from tests.servers import TOKEN, scratch_environment

PATIENCE_S = 60.0
HEADERS = {"Authorization": f"token {TOKEN}"}


def until(condition: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """What `condition` gives as soon as it is true: for what has no event."""
    last = time.monotonic() + patience_s
    while not (found := condition()):
        if time.monotonic() > last:
            raise TimeoutError(f"{what}: not within {patience_s:.0f} s")
        time.sleep(0.02)
    return found


def install(settings: str, home: Path) -> dict[str, str]:
    """The environment of a server (or of a program without one) that offers these kernels, by our own command."""
    (home / "kernels.toml").write_text(settings)
    prefix = home / "prefix"
    command = [sys.executable, "-m", "emkit_spawner.kernels", "install", str(home / "kernels.toml"), f"--prefix={prefix}"]
    subprocess.run(command, check=True, capture_output=True)
    own = {"JUPYTER_PATH": str(prefix / "share/jupyter"), "JUPYTER_CONFIG_PATH": str(prefix / "etc/jupyter")}
    return {**scratch_environment(home), **own}


class LightServer:
    """`user`: the Unix account that runs it, by name; the test's own if None. `module`: jupyter_server or jupyterlab."""

    def __init__(
        self, home: Path, environment: Mapping[str, str], *options: str, user: str | None = None, module: str = "jupyter_server"
    ) -> None:
        self.home, self.environment, self.user = home, dict(environment), user
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.command = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        self.command += [f"--port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home}", *options]
        self.command += [f"--IdentityProvider.token={TOKEN}", f"--SessionManager.database_filepath={home / 'sessions.sqlite'}"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=self.home, stdout=log, stderr=log, user=self.user, start_new_session=True
            )
        try:
            until(self._answers, "the server answers")
        except TimeoutError:
            self.stop(signal.SIGKILL)
            raise

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError((self.home / "server.log").read_text())
        try:
            return requests.get(f"{self.url}api", timeout=5).ok
        except requests.ConnectionError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)
            self.process.wait(PATIENCE_S)
            self.process = None

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        return requests.request(method, self.url + path, json=body, headers=HEADERS, timeout=PATIENCE_S)

    def open_notebook(self, kernel: str, path: str = "a.ipynb") -> dict[str, Any]:
        """A session as JupyterLab asks for it."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}}
        answer = self.call("POST", "api/sessions", body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def kernel(self, kernel_id: str) -> dict[str, Any]:
        """Its model; {} when the server knows it no more."""
        answer = self.call("GET", f"api/kernels/{kernel_id}")
        return answer.json() if answer.ok else {}

    def told(self, kernel_id: str) -> dict[str, Any]:
        """The last word on it that JupyterLab shows."""
        found = self.call("GET", "emkit/kernels").json()
        return next((one for one in found if one["kernel_id"] == kernel_id), {})

    @contextmanager
    def channels(self, kernel_id: str) -> Iterator["Channels"]:
        address = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4()}"
        socket = websocket.create_connection(address, header=[f"Authorization: token {TOKEN}"], timeout=4 * PATIENCE_S)
        try:
            yield Channels(socket)
        finally:
            socket.close()


class Channels:
    """A kernel's channels, as a page has them."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.socket = socket
        self.last = time.monotonic() + PATIENCE_S  # the socket's own time-out begins anew with each of the server's pings

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": kind, "username": "", "session": "test", "version": "5.3", "date": ""}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel, "buffers": []}
        self.socket.send(json.dumps(message))
        return number

    def receive(self) -> dict[str, Any]:
        if time.monotonic() > self.last:
            raise TimeoutError("the kernel says nothing to the point")
        found: dict[str, Any] = json.loads(self.socket.recv())
        return found

    def run(self, code: str) -> str:
        """What a cell prints, or the name of its error, once it is done."""
        number, printed = self.send("execute_request", {"code": code, "silent": False, "store_history": False}), ""
        while True:
            message = self.receive()
            if message["parent_header"].get("msg_id") != number:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
            if kind == "error":
                printed += content["ename"]
            if kind == "status" and content["execution_state"] == "idle":
                return printed
