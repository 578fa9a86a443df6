"""A site's configuration for batchspawner, with one line changed: its settings mean what they meant."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub.cluster import Cluster

from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = pytest.mark.hub

ROOT = Path(__file__).parents[2]
# what every test of ours needs, and no site: Slurm at another place, no Unix accounts, quick answers
TEST = """
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.sudo = False
c.JobSpawner.home_folder = {home!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
c.Spawner.cmd = [{python!r}, {stub!r}]
"""
OWN_SCRIPT = '''
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={{homedir}}/jupyterhub_slurmspawner_%j.log
#SBATCH --chdir={{homedir}}
#SBATCH --export={{keepvars}}
#SBATCH --get-user-env=L
{% if partition  %}#SBATCH --partition={{partition}}
{% endif %}{% if options    %}#SBATCH {{options}}{% endif %}
set -euo pipefail
trap 'echo SIGTERM received' TERM
{{prologue}}
export OWN_SCRIPT={{username}}
{% if srun %}{{srun}} {% endif %}{{cmd}}
{{epilogue}}
"""
'''


def site() -> str:
    """The configuration that the guide shows, as it stands there."""
    page = (ROOT / "docs/howto/move-from-batchspawner.md").read_text()
    found = re.search(r"```python\n(from traitlets.*?)```", page, re.S)
    assert found is not None
    before = re.search(r'c\.JupyterHub\.spawner_class = "batchspawner.SlurmSpawner"', page)
    assert before is not None
    return re.sub(r"^(from traitlets.*|c = Config\(\).*)$", "", found[1], flags=re.M)


@pytest.fixture(params=["", OWN_SCRIPT], ids=["default-script", "own-script"])
def hub(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[PlainHub]:
    values = {"conf": cluster.environment["SLURM_CONF"], "home": str(tmp_path), "python": sys.executable}
    lines = site() + request.param + TEST.format(**values, stub=str(tmp_path / "stub.py"))
    with plain_hub(tmp_path, lines) as running:
        yield running


@pytest.fixture
def reservation(cluster: Cluster) -> Iterator[None]:
    cluster.run(
        "scontrol", "create", "reservation", "ReservationName=course", "StartTime=now", "Duration=60", "Nodes=em3", "Users=root"
    )
    yield
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")
    cluster.run("scontrol", "delete", "ReservationName=course")


@pytest.mark.usefixtures("reservation")
def test_one_line_is_changed_and_the_job_is_the_same(hub: PlainHub, cluster: Cluster, tmp_path: Path) -> None:
    assert hub.call("POST", "/users/ann").status_code == 201
    assert hub.call("POST", "/users/ann/server").status_code in (201, 202)
    told = hub.told("ann")
    job = cluster.run("scontrol", "show", "job", "--oneliner", told["SLURM_JOB_ID"])
    assert "Partition=main" in job and "TimeLimit=00:30:00" in job and "NumCPUs=2" in job and "Comment=lab_course" in job
    assert re.search(r"MinMemory(Node|CPU)=1G|mem=1G", job)
    if "OWN_SCRIPT" in told:
        assert told["OWN_SCRIPT"] == "ann"
    else:
        assert "Reservation=course" in job and told["SLURMD_NODENAME"] == "em3"
    assert told["FROM_PROLOGUE"] == "2"
    assert hub.call("POST", "/batchspawner", {"port": 1}, told["JUPYTERHUB_API_TOKEN"]).status_code == 404
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)
    if "OWN_SCRIPT" not in told:  # this one, as batchspawner's, ends with its server
        cluster.until((tmp_path / "epilogue-ran").exists, "the epilogue has run")
