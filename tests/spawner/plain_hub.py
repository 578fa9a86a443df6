"""A JupyterHub that knows nothing of emkit but its spawner, and a server that starts in a moment."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from emkit_hub import proxy
from emkit_hub.data_folder import free_ports

TOKEN = "a-token-of-the-test"
CONFIG = """
import batchspawner  # as a site's old configuration has it; its route must go all the same
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
scopes = ["admin:users", "admin:servers", "tokens", "access:servers"]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": scopes}}]
c.Spawner.cmd = [{python!r}, {stub!r}]
c.Spawner.poll_interval = 1
"""

# A server of twenty lines, which starts in a moment and tells what it was given
STUB = """
import json, os, resource
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import urlsplit
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
        limits = {"memory": resource.getrlimit(resource.RLIMIT_DATA)[0], "cpus": len(os.sched_getaffinity(0))}
        told = {"pid": os.getpid(), **limits, **os.environ}
        self.wfile.write(json.dumps(told).encode())
url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingTCPServer.request_queue_size = 128  # a stub that many share is asked by all at once
ThreadingTCPServer((url.hostname, url.port), Handler).serve_forever()
"""


class PlainHub:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> requests.Response:
        headers = {"Authorization": f"token {token}"}
        return requests.request(method, f"{self.url}/hub/api{path}", json=body, headers=headers, timeout=60)

    def wait_ready(self, user: str) -> None:
        """Until the user's server is up. RuntimeError with the hub's words when its start has failed."""
        last = time.monotonic() + 120
        while not (server := self.call("GET", f"/users/{user}").json()["servers"].get("")) or not server["ready"]:
            if server is None or time.monotonic() > last:
                progress = self.call("GET", f"/users/{user}/server/progress")
                raise RuntimeError(f"{user}'s server is not up: {progress.text}")
            time.sleep(0.1)

    def told(self, user: str) -> dict[str, Any]:
        """What the user's server tells of itself: its environment."""
        token = self.call("POST", f"/users/{user}/tokens", {}).json()["token"]
        answer = requests.get(f"{self.url}/user/{user}/", headers={"Authorization": f"token {token}"}, timeout=60)
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def plain_hub(folder: Path, lines: str) -> Iterator[PlainHub]:
    """Within: it runs, with these lines of configuration more. JupyterHub's own default: servers end with it."""
    proxy.install()
    port, hub_port, proxy_port = free_ports(3)
    values = {"port": port, "hub_port": hub_port, "proxy_port": proxy_port, "proxy": proxy.program(), "token": TOKEN}
    (folder / "stub.py").write_text(STUB)
    text = CONFIG.format(**values, python=sys.executable, stub=str(folder / "stub.py")) + lines
    (folder / "jupyterhub_config.py").write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterhub"], cwd=folder, stdout=log, stderr=log, start_new_session=True)
    found = PlainHub(port)
    last = time.monotonic() + 60
    try:
        while not _answers(found):
            if process.poll() is not None or time.monotonic() > last:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(120)  # a busy machine takes its time


def _answers(hub: PlainHub) -> bool:
    try:
        return requests.get(f"{hub.url}/hub/health", timeout=5).ok
    except requests.ConnectionError:
        return False
