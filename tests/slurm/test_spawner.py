"""Servers as jobs of a real Slurm, in a hub that knows nothing else of emkit."""

import os
import signal
from collections.abc import Iterator

import pytest
import requests

from tests.slurm.cluster import Cluster
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.BatchSpawnerBase.req_nprocs = "2"
c.BatchSpawnerBase.req_memory = "700M"
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
c.SlurmSpawner.sweep_s = 1
c.SlurmSpawner.profiles = {{
    "small": {{"title": "Small"}},
    "nowhere": {{"title": "Nowhere", "partition": "nowhere"}},
    "dies": {{"title": "Dies", "environment": {{"EMKIT_TEST": "die"}}}},
}}
c.BatchSpawnerBase.req_prologue = '[[ ${{EMKIT_TEST:-}} != die ]] || {{ echo "no licence left"; exit 9; }}'
"""


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    lines = LINES.format(conf=cluster.environment["SLURM_CONF"])
    with plain_hub(tmp_path_factory.mktemp("slurm-hub"), lines) as running:
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


def test_a_server_is_a_job_with_what_the_site_asked_for(hub: PlainHub, cluster: Cluster) -> None:
    assert hub.call("POST", "/users/ann").status_code == 201
    assert hub.call("POST", "/users/ann/server").status_code in (201, 202)
    told = hub.told("ann")
    assert (told["SLURM_CPUS_PER_TASK"], told["SLURM_MEM_PER_NODE"], told["JUPYTERHUB_USER"]) == ("2", "700", "ann")
    assert told["USER"] == "ann" and told["HOME"] == os.path.expanduser("~")
    shown = cluster.run("scontrol", "show", "job", "-dd", told["SLURM_JOB_ID"])
    assert told["JUPYTERHUB_API_TOKEN"] not in shown
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "the job is cancelled")


def test_a_server_whose_job_is_requeued_is_found_where_it_runs_now(hub: PlainHub, cluster: Cluster) -> None:
    hub.call("POST", "/users/eve")
    assert hub.call("POST", "/users/eve/server").status_code in (201, 202)
    before = hub.told("eve")
    cluster.run("scontrol", "requeue", before["SLURM_JOB_ID"])

    def again() -> bool:
        try:
            return bool(hub.told("eve").get("SLURM_RESTART_COUNT"))
        except requests.RequestException:  # the hub's own page, while nothing serves there
            return False

    cluster.until(again, "the server serves again")
    assert hub.told("eve")["SLURM_JOB_ID"] == before["SLURM_JOB_ID"]
    assert hub.call("DELETE", "/users/eve/server").status_code in (202, 204)


def test_a_stop_while_slurm_is_down_leaks_no_job(hub: PlainHub, cluster: Cluster) -> None:
    hub.call("POST", "/users/dan")
    assert hub.call("POST", "/users/dan/server").status_code in (201, 202)
    hub.told("dan")
    cluster.end("slurmctld", signal.SIGTERM)
    try:
        assert hub.call("DELETE", "/users/dan/server").status_code in (202, 204)
        cluster.until(lambda: not hub.call("GET", "/users/dan").json()["servers"], "the hub's server is gone")
    finally:
        cluster.start_controller()
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "its job too")


@pytest.mark.parametrize(
    ("profile", "said"),
    [("nowhere", "invalid partition specified: nowhere"), ("dies", "no licence left"), ("none", "no profile 'none'")],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(hub: PlainHub, cluster: Cluster, profile: str, said: str) -> None:
    hub.call("POST", "/users/bob")
    answer = hub.call("POST", "/users/bob/server", {"profile": profile})
    assert answer.status_code >= 400 and said in answer.json()["message"]
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no job left")
    assert hub.call("POST", "/users/bob/server").status_code in (201, 202)  # the options that failed are not repeated
    assert hub.call("DELETE", "/users/bob/server").status_code in (202, 204)
