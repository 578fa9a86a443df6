"""A hub with `internal_ssl`: its certificates reach the server of another Unix account on a node, and nobody else."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from emkit_hub.cluster import Cluster

from tests.slurm.accounts import Accounts, accounts, open_folder
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

LINES = """
import sys
c.JupyterHub.internal_ssl = True
c.ConfigurableHTTPProxy.api_url = c.ConfigurableHTTPProxy.api_url.replace("http:", "https:")
c.JupyterHub.spawner_class = {spawner!r}
c.LocalSpawner.jobs_folder = c.LocalSpawner.home_folder = {home!r}
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {{"JUPYTER_PREFER_ENV_PATH": "1"}}
"""
CA = "emkit_ssl_client_ca"  # beside the key


@pytest.fixture(scope="module")
def people(cluster: Cluster) -> Iterator[Accounts]:
    with open_folder() as homes, accounts(homes, cluster.environment) as made:
        yield made


@pytest.fixture(params=[pytest.param("emkit-local", marks=pytest.mark.campaign), "emkit-slurm"])
def hub(request: pytest.FixtureRequest, cluster: Cluster, people: Accounts, tmp_path: Path) -> Iterator[PlainHub]:
    values = {"spawner": request.param, "conf": cluster.environment["SLURM_CONF"], "home": str(tmp_path / "jobs")}
    (tmp_path / "jobs").mkdir()
    with plain_hub(tmp_path, LINES.format(**values)) as running:
        yield running


def test_hub_proxy_and_server_speak_tls_with_each_other(hub: PlainHub, people: Accounts) -> None:
    hub.call("POST", f"/users/{people.ann}")
    assert hub.call("POST", f"/users/{people.ann}/server").status_code in (201, 202)
    hub.wait_ready(people.ann)
    token = hub.call("POST", f"/users/{people.ann}/tokens", {}).json()["token"]
    answer = requests.get(f"{hub.url}/user/{people.ann}/api/status", headers={"Authorization": f"token {token}"}, timeout=60)
    assert answer.ok, answer.text
    (server,) = servers(people.ann)
    environment = dict(word.split("=", 1) for word in server.split("\0") if "=" in word)
    key = Path(environment["JUPYTERHUB_SSL_KEYFILE"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert "PRIVATE KEY" in key.read_text() and "PRIVATE KEY" not in server  # no kernel or terminal inherits it
    port = int(environment["JUPYTERHUB_SERVICE_URL"].split(":")[2].split("/")[0])
    for scheme in ("http", "https"):  # without a certificate nobody is let in
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{scheme}://127.0.0.1:{port}/user/{people.ann}/api/status", timeout=30, verify=str(key.with_name(CA)))
    assert hub.call("DELETE", f"/users/{people.ann}/server").status_code in (202, 204)
    assert not key.exists()


def servers(user: str) -> list[str]:
    """The environments of the processes that serve this user, as text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"jupyterhub.singleuser" in (process / "cmdline").read_bytes():
                text = (process / "environ").read_text()
                found += [text] if f"JUPYTERHUB_USER={user}\0" in text else []
        except OSError:
            continue  # it has gone meanwhile
    return found
