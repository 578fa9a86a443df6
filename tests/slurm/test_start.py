"""Time in the queue and time to start, groups, usage of past sessions, resubmission: in a hub that knows nothing else of emkit."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from emkit_hub.cluster import Cluster

from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

START_TIMEOUT_S = 8  # a stub server is up in one
LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.load_groups = {{"imaging": {{"users": ["ann"]}}}}
c.JupyterHub.load_roles[0]["scopes"] += ["groups", "read:metrics"]
c.JobSpawner.home_folder = {home!r}
c.JobSpawner.req_prologue = '[[ ${{EMKIT_TEST:-}} != mute ]] || sleep 600'
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
def bob_waits_for_three_seconds(spawner):
    spawner.queue_timeout_s = 3 if spawner.user.name == "bob" else 0
c.Spawner.pre_spawn_hook = bob_waits_for_three_seconds
c.Spawner.start_timeout = {start_timeout_s}
c.SlurmSpawner.profiles = {{
    "small": {{"title": "Small", "cpus": 1, "limits": {{"cpus": 2}}}},
    "closed": {{"title": "Closed", "partition": "closed"}},
    "mute": {{"title": "Mute", "environment": {{"EMKIT_TEST": "mute"}}}},
    "imaging": {{"title": "Imaging", "groups": ["imaging"]}},
}}
"""


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    folder = tmp_path_factory.mktemp("start-hub")
    values = {"conf": cluster.environment["SLURM_CONF"], "home": str(folder), "start_timeout_s": START_TIMEOUT_S}
    with plain_hub(folder, LINES.format(**values)) as running:
        for user in ("ann", "bob", "eve"):
            running.call("POST", f"/users/{user}")
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")
    assert_log(folder / "log")


def assert_log(log: Path) -> None:
    """Each line of ours is one JSON object, and each spawn's lines carry its id and tell its story in order."""
    told = [json.loads(found) for found in re.findall(r"^\[I .*\] emkit (.*)$", log.read_text(), re.M)]
    stories: dict[str, list[str]] = {}
    for line in told:
        stories.setdefault(line["spawn"], []).append(line["event"])
    assert stories and all(re.fullmatch(r"emkit-[0-9a-f]{8}-\w+-[0-9a-f]{8}", spawn) for spawn in stories)
    assert {tuple(story) for story in stories.values()} <= {
        ("submitted", "up", "stopped"),
        ("submitted", "failed", "stopped"),
        ("submitted", "stopped"),
    }


def start(hub: PlainHub, user: str, **options: object) -> None:
    assert hub.call("POST", f"/users/{user}/server", options).status_code in (201, 202)  # 201 after a failure, pending or not


def failure(hub: PlainHub, user: str) -> str:
    """Why this user's start fails, as the page of it is told."""
    text = hub.call("GET", f"/users/{user}/server/progress").text
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1].get("failed"), events
    return str(events[-1]["message"])


def session(hub: PlainHub, user: str) -> dict[str, Any]:
    found: dict[str, Any] = hub.call("GET", f"/emkit/sessions/{user}/").json()
    return found


def stop(hub: PlainHub, user: str) -> None:
    assert hub.call("DELETE", f"/users/{user}/server").status_code in (202, 204)
    last = time.monotonic() + 60
    while session(hub, user)["state"] != "stopped":
        assert time.monotonic() < last
        time.sleep(0.1)


def test_a_queue_has_its_own_limit_and_says_why(hub: PlainHub, cluster: Cluster) -> None:
    start(hub, "bob", profile="closed")
    said = failure(hub, "bob")
    assert "did not start within" in said and "queue_timeout_s" in said
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "its job is cancelled")
    assert hub.call("GET", "/users/bob").json()["servers"].get("", {}).get("user_options") in (None, {})


def test_a_wait_in_the_queue_does_not_count_for_the_start(hub: PlainHub, cluster: Cluster) -> None:
    start(hub, "eve", profile="closed")
    cluster.until(
        lambda: (told := session(hub, "eve"))["waiting"] and told["now"] - told["asked_at"] > START_TIMEOUT_S, "it has waited long"
    )
    assert session(hub, "eve")["state"] == "queued"
    cluster.run("scontrol", "update", "PartitionName=closed", "State=UP")
    try:
        hub.wait_ready("eve")
    finally:
        cluster.run("scontrol", "update", "PartitionName=closed", "State=DOWN")
    stop(hub, "eve")


def test_a_server_that_does_not_answer_ends_at_its_start_timeout(hub: PlainHub, cluster: Cluster) -> None:
    start(hub, "bob", profile="mute")
    said = failure(hub, "bob")
    assert "its server does not answer" in said and "start_timeout" in said
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "its job is cancelled")


def test_a_profile_is_for_its_groups(hub: PlainHub) -> None:
    refused = hub.call("POST", "/users/bob/server", {"profile": "imaging"})
    start(hub, "ann", profile="imaging")
    hub.wait_ready("ann")
    stop(hub, "ann")
    text = refused.json()["message"] if refused.status_code == 400 else failure(hub, "bob")
    assert "no profile 'imaging': this hub offers small, closed, mute" in text


def test_a_server_asks_for_its_next_job_and_past_use_is_kept(hub: PlainHub, cluster: Cluster) -> None:
    start(hub, "ann", profile="small", cpus=2)
    hub.wait_ready("ann")
    before = hub.told("ann")
    own, mine = before["JUPYTERHUB_API_TOKEN"], hub.call("POST", "/users/ann/tokens", {}).json()["token"]
    assert hub.call("GET", "/emkit/sessions/ann/", token=own).json()["usage"]["asked"]["cpus"] == 2
    assert hub.call("GET", "/emkit/sessions/ann/", token=mine).json()["ends_at"] > time.time()
    assert hub.call("GET", "/emkit/sessions/bob/", token=own).status_code in (403, 404)
    assert hub.call("GET", "/emkit/sessions/ann/", token="0" * 32).status_code == 403
    assert hub.call("GET", "/emkit/sessions/ann/other").status_code == 404
    assert hub.call("POST", "/emkit/resubmit", token=mine).status_code == 403
    assert hub.call("POST", "/emkit/resubmit", token=own).status_code == 202

    def again() -> bool:
        told = session(hub, "ann")
        return bool(told["state"] == "running" and told["job_id"] != before["SLURM_JOB_ID"])

    cluster.until(again, "the next job runs")
    assert hub.told("ann")["SLURM_CPUS_ON_NODE"] == "2"
    stop(hub, "ann")
    past = [use for use in session(hub, "ann")["past"] if use["profile"] == "small"]
    assert past and past[0]["asked"]["cpus"] == 2


def test_an_operator_sees_it_all(hub: PlainHub) -> None:
    answer = requests.get(f"{hub.url}/hub/metrics", headers={"Authorization": "token a-token-of-the-test"}, timeout=60)
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith("emkit_"))
    counts = {outcome: float(values[f'emkit_spawn_seconds_count{{outcome="{outcome}"}}']) for outcome in ("up", "queue", "timeout")}
    assert counts["up"] >= 4 and counts["queue"] == counts["timeout"] == 1
    assert float(values["emkit_queue_seconds_count"]) == counts["up"]
    assert {"emkit_ledger_length", "emkit_query_errors_total", "emkit_jobs_without_owner_total"} <= values.keys()
