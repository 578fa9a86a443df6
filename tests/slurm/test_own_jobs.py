"""An account's own jobs, as the overview shows them beside the account's servers."""

import os
import pwd

import pytest
from emkit_jobs.slurm import Slurm, SlurmScheduler

from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.hub


async def test_each_account_has_its_own_and_a_shared_one_has_none(cluster: Cluster) -> None:
    words = ["--parsable", "--chdir=/", "--output=/dev/null", "--time=5", "--wrap=sleep 300"]
    runs, held = cluster.run("sbatch", *words).strip(), cluster.run("sbatch", "--hold", *words).strip()
    cluster.until(lambda: cluster.run("squeue", "--noheader", f"--job={runs}", "--format=%T").strip() == "RUNNING", "it runs")
    slurm = Slurm(cluster.environment, tick_s=0.0)
    try:
        mine = {job.job_id: job for job in await SlurmScheduler(slurm, pwd.getpwuid(os.getuid()).pw_name).own_jobs()}
        assert (mine[runs].state, mine[runs].partition) == ("running", "main") and mine[runs].node.startswith("em")
        assert mine[runs].ends_at is not None and (mine[held].state, mine[held].node) == ("queued", "")
        assert await SlurmScheduler(slurm, "munge").own_jobs() == []
        assert await SlurmScheduler(slurm).own_jobs() == []  # the hub's account, which everybody shares
    finally:
        cluster.run("scancel", runs, held)
