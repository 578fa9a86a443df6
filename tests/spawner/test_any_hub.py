"""The spawner in a JupyterHub that knows nothing else of emkit: one line of configuration."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from emkit_hub import proxy
from emkit_hub.data_folder import free_ports
from emkit_jobs.local import LocalScheduler
from emkit_jobs.processes import carrying

pytestmark = pytest.mark.hub

CONFIG = """
import batchspawner  # as a site's old configuration has it; its route must go all the same
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "test", "api_token": "a-token-of-the-test"}}]
scopes = ["admin:users", "admin:servers", "tokens", "access:servers"]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": scopes}}]

c.JupyterHub.spawner_class = "emkit-local"
c.BatchSpawnerBase.req_nprocs = "1"
c.BatchSpawnerBase.req_memory = "4G"
c.BatchSpawnerBase.req_prologue = "export FROM_PROLOGUE=$((1 + 1))"
c.LocalSpawner.jobs_folder = {jobs!r}
c.Spawner.cmd = [{python!r}, {stub!r}]
c.Spawner.poll_interval = 1
"""

# A server of twenty lines, which starts in a moment and tells what it was given
STUB = """
import json, os, resource
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
        told = {"memory": resource.getrlimit(resource.RLIMIT_DATA)[0], "cpus": len(os.sched_getaffinity(0)), **os.environ}
        self.wfile.write(json.dumps(told).encode())
HTTPServer(("127.0.0.1", urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port), Handler).serve_forever()
"""


class Hub:
    def __init__(self, port: int, jobs: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.jobs = jobs

    def call(self, method: str, path: str, body: object = None, token: str = "a-token-of-the-test") -> requests.Response:
        headers = {"Authorization": f"token {token}"}
        return requests.request(method, f"{self.url}/hub/api{path}", json=body, headers=headers, timeout=60)

    def names(self) -> list[str]:
        return list(asyncio.run(LocalScheduler(self.jobs).find("")))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("any-hub")
    proxy.install()
    port, hub_port, proxy_port = free_ports(3)
    values = {"port": port, "hub_port": hub_port, "proxy_port": proxy_port, "proxy": proxy.program(), "python": sys.executable}
    (folder / "stub.py").write_text(STUB)
    (folder / "jupyterhub_config.py").write_text(CONFIG.format(**values, jobs=str(folder / "jobs"), stub=str(folder / "stub.py")))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterhub"], cwd=folder, stdout=log, stderr=log, start_new_session=True)
    running = Hub(port, folder / "jobs")
    last = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < last:
        try:
            if requests.get(f"{running.url}/hub/health", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(0.1)
    else:
        pytest.fail((folder / "log").read_text())
    yield running
    process.terminate()
    process.wait(60)
    assert running.names() == []  # JupyterHub's own default: servers end with it


def test_a_server_starts_with_what_the_site_asked_for(hub: Hub) -> None:
    assert hub.call("POST", "/users/ann").status_code == 201
    assert hub.call("POST", "/users/ann/server").status_code in (201, 202)
    token = hub.call("POST", "/users/ann/tokens", {}).json()["token"]
    told = requests.get(f"{hub.url}/user/ann/", headers={"Authorization": f"token {token}"}, timeout=60).json()
    assert (told["cpus"], told["memory"], told["FROM_PROLOGUE"]) == (1, 4 * 2**30, "2")
    assert (told["USER"], told["HOME"], told["JUPYTERHUB_USER"]) == ("ann", os.path.expanduser("~"), "ann")
    assert hub.call("POST", "/batchspawner", {"port": 1, "cmd": ["id"]}, told["JUPYTERHUB_API_TOKEN"]).status_code == 404
    (name,) = hub.names()
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)
    assert carrying(name) == set()


@pytest.mark.parametrize("user", ["x$(touch${IFS}pwned)", "a'b", "-rf", "..", "ünal"])
def test_a_hostile_user_name_gets_no_job(hub: Hub, user: str) -> None:
    quoted = quote(user, safe="")
    made = hub.call("POST", f"/users/{quoted}")
    answer = hub.call("POST", f"/users/{quoted}/server")
    assert made.status_code >= 400 or (answer.status_code == 400 and "cannot have a server" in answer.json()["message"])
    assert hub.names() == []


def test_options_without_profiles_are_refused(hub: Hub) -> None:
    hub.call("POST", "/users/bob")
    answer = hub.call("POST", "/users/bob/server", {"cpus": 2})
    assert answer.status_code == 400 and "no choice of resources" in answer.json()["message"]
    assert hub.call("POST", "/users/bob/server").status_code in (201, 202)
    assert hub.call("DELETE", "/users/bob/server").status_code in (202, 204)
