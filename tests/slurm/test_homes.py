"""Homes of real accounts that Slurm cannot begin a job in, and a shell profile that fails: the user gets in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub.cluster import Cluster

from tests.slurm.accounts import Accounts, accounts, open_folder
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
"""


@pytest.fixture
def people(cluster: Cluster) -> Iterator[Accounts]:
    with open_folder() as homes, accounts(homes, cluster.environment) as made:
        yield made


@pytest.fixture
def hub(cluster: Cluster, people: Accounts) -> Iterator[PlainHub]:
    with open_folder() as folder, plain_hub(folder, LINES.format(conf=cluster.environment["SLURM_CONF"])) as running:
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


def test_who_cannot_write_at_home_gets_in_and_reads_why(hub: PlainHub, people: Accounts) -> None:
    closed, printing = people.homes / people.ann, people.homes / people.bob
    os.chown(closed, 0, 0)
    closed.chmod(0o555)
    (printing / ".bash_profile").write_text("echo hello\nexit 3\n")
    told = {user: start(hub, user) for user in (people.ann, people.bob)}
    assert told[people.ann]["EMKIT_RESCUE"] == f"Slurm could not write the job's log in your home {closed}."
    assert told[people.ann]["HOME"] == str(closed)
    assert Path(told[people.ann]["JUPYTER_CONFIG_DIR"]).parts[1] in ("tmp", "dev")
    assert "EMKIT_RESCUE" not in told[people.bob] and told[people.bob]["HOME"] == str(printing)


def start(hub: PlainHub, user: str) -> dict[str, str]:
    """The environment of this user's server."""
    assert hub.call("POST", f"/users/{user}").status_code == 201
    assert hub.call("POST", f"/users/{user}/server").status_code in (201, 202)
    hub.wait_ready(user)
    return hub.told(user)
