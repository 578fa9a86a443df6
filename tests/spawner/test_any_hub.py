"""The spawner in a JupyterHub that knows nothing else of emkit: one line of configuration."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from emkit_jobs.local import LocalScheduler
from emkit_jobs.processes import carrying

from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

LINES = """
c.JupyterHub.spawner_class = "emkit-local"
c.BatchSpawnerBase.req_nprocs = "1"
c.BatchSpawnerBase.req_memory = "4G"
c.BatchSpawnerBase.req_prologue = "export FROM_PROLOGUE=$((1 + 1))"
c.LocalSpawner.jobs_folder = {jobs!r}
"""


def names(jobs: Path) -> list[str]:
    return list(asyncio.run(LocalScheduler(jobs).find("")))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any-hub") / "jobs"


@pytest.fixture(scope="module")
def hub(jobs: Path) -> Iterator[PlainHub]:
    with plain_hub(jobs.parent, LINES.format(jobs=str(jobs))) as running:
        yield running
    assert names(jobs) == []


def test_a_server_starts_with_what_the_site_asked_for(hub: PlainHub, jobs: Path) -> None:
    assert hub.call("POST", "/users/ann").status_code == 201
    assert hub.call("POST", "/users/ann/server").status_code in (201, 202)
    told = hub.told("ann")
    assert (told["cpus"], told["memory"], told["FROM_PROLOGUE"]) == (1, 4 * 2**30, "2")
    assert (told["USER"], told["HOME"], told["JUPYTERHUB_USER"]) == ("ann", os.path.expanduser("~"), "ann")
    assert hub.call("POST", "/batchspawner", {"port": 1, "cmd": ["id"]}, told["JUPYTERHUB_API_TOKEN"]).status_code == 404
    (name,) = names(jobs)
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)
    assert carrying(name) == set()


@pytest.mark.parametrize("user", ["x$(touch${IFS}pwned)", "a'b", "-rf", "..", "ünal"])
def test_a_hostile_user_name_gets_no_job(hub: PlainHub, jobs: Path, user: str) -> None:
    quoted = quote(user, safe="")
    made = hub.call("POST", f"/users/{quoted}")
    answer = hub.call("POST", f"/users/{quoted}/server")
    assert made.status_code >= 400 or (answer.status_code == 400 and "cannot have a server" in answer.json()["message"])
    assert names(jobs) == []


def test_options_without_profiles_are_refused(hub: PlainHub, jobs: Path) -> None:
    hub.call("POST", "/users/bob")
    answer = hub.call("POST", "/users/bob/server", {"cpus": 2})
    assert answer.status_code == 400 and "no choice of resources" in answer.json()["message"]
    assert hub.call("POST", "/users/bob/server").status_code in (201, 202)
    assert hub.call("DELETE", "/users/bob/server").status_code in (202, 204)
