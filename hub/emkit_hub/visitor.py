"""A visitor without a browser: logs in, starts a server, runs code in a kernel, all through the hub's public address.

Used by `scripts/up --check` and by the tests. It holds cookies and sends what a browser sends, XSRF tokens included.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import requests
import websocket

# what a browser sends with a click on a link of the same site; JupyterHub looks at it before it sets cookies
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}


class Refused(RuntimeError):
    """The hub said no: the status and its text."""


class Visitor:
    def __init__(self, url: str) -> None:
        self.url = url
        self.name = ""
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Connection"] = "close"  # the proxy ends an idle one at any moment, perhaps as we use it again

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.session.close()

    def get(self, path: str, *, timeout: float = 60, headers: dict[str, str] | None = None) -> requests.Response:
        """Follow a link."""
        return self.session.get(self.url + path, headers={**NAVIGATION, **(headers or {})}, timeout=timeout)

    def call(self, method: str, path: str, body: object = None, *, timeout: float = 120) -> requests.Response:
        """A request as the page's own script makes it."""
        below = "/hub/" if path.startswith("/hub/") else "/" + "/".join(path.split("/")[1:3]) + "/"
        headers = {"X-XSRFToken": self.cookie("_xsrf", below), "Referer": self.url + below, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        return self.session.request(method, self.url + path, data=data, headers=headers, timeout=timeout, allow_redirects=False)

    def cookie(self, name: str, path: str) -> str:
        return next((str(cookie.value) for cookie in self.session.cookies if cookie.name == name and cookie.path == path), "")

    def login(self, name: str, password: str) -> bool:
        """Whether the hub lets this name in with this password."""
        self.get("/hub/login")
        form = {"username": name, "password": password, "_xsrf": self.cookie("_xsrf", "/hub/")}
        answer = self.session.post(self.url + "/hub/login", data=form, headers=NAVIGATION, allow_redirects=False, timeout=60)
        if answer.status_code != 302:
            return False
        self.get("/hub/home")
        self.name = str(self.call("GET", "/hub/api/user").json()["name"])
        return True

    @property
    def server(self) -> str:
        return f"/user/{self.name}/"

    def start_server(self, options: dict[str, object] | None = None, *, timeout: float = 180) -> list[dict[str, Any]]:
        """Ask for a server and follow its progress to the end: the events. Refused when the hub refuses at once."""
        asked = self.call("POST", f"/hub/api/users/{self.name}/server", options)
        if asked.status_code not in (201, 202):
            raise Refused(f"{asked.status_code} {asked.text}")
        events = list(self.progress(timeout))
        if events[-1].get("ready"):
            self.get(self.server + "lab")  # the server's own login: its cookies
        return events

    def progress(self, timeout: float = 180) -> Iterator[dict[str, Any]]:
        """The events of the start in hand."""
        path = f"{self.url}/hub/api/users/{self.name}/server/progress"
        headers = {"X-XSRFToken": self.cookie("_xsrf", "/hub/"), "Accept": "text/event-stream"}
        with self.session.get(path, headers=headers, stream=True, timeout=timeout) as answer:
            if answer.status_code != 200:
                raise Refused(f"{answer.status_code} {answer.text}")
            for line in answer.iter_lines():
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    def stop_server(self) -> None:
        answer = self.call("DELETE", f"/hub/api/users/{self.name}/server")
        if answer.status_code not in (202, 204):
            raise Refused(f"{answer.status_code} {answer.text}")
        while self.call("GET", f"/hub/api/users/{self.name}").json()["servers"]:
            time.sleep(0.1)  # the hub offers no event for this

    @contextmanager
    def kernel(self, kernel_id: str | None = None) -> Iterator["Kernel"]:
        """A kernel of the visitor's server: a new one, or the one with this id."""
        if kernel_id is None:
            made = self.call("POST", self.server + "api/kernels", {"name": "python3"})
            made.raise_for_status()
            kernel_id = str(made.json()["id"])
        address = self.url.replace("http", "ws", 1) + f"{self.server}api/kernels/{kernel_id}/channels"
        cookies = "; ".join(
            f"{cookie.name}={cookie.value}" for cookie in self.session.cookies if self.server.startswith(cookie.path)
        )
        channel = websocket.create_connection(address, cookie=cookies, origin=self.url, timeout=120)
        try:
            yield Kernel(kernel_id, channel)
        finally:
            channel.close()


class Kernel:
    def __init__(self, kernel_id: str, channel: Any) -> None:
        self.id = kernel_id
        self._channel = channel

    def run(self, code: str) -> str:
        """What `code` printed, or its traceback."""
        message = uuid.uuid4().hex
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "username": "",
            "session": uuid.uuid4().hex,
            "version": "5.3",
            "date": "",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
        self._channel.send(json.dumps(request))
        printed = ""
        while True:
            raw = self._channel.recv()
            if isinstance(raw, bytes):  # a widget's message with buffers: nothing that is printed
                continue
            answer = json.loads(raw)
            if answer["parent_header"].get("msg_id") != message:
                continue
            content = answer["content"]
            match answer["msg_type"]:
                case "stream":
                    printed += str(content["text"])
                case "error":
                    printed += "\n".join(str(line) for line in content["traceback"])
                case "status" if content["execution_state"] == "idle":
                    return printed
