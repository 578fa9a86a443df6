"""An account's own jobs, as the overview shows them beside the account's servers."""

import os
import pwd

import pytest
from emkit_jobs.scheduler import State
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


async def test_a_users_server_lists_its_own_alone(cluster: Cluster) -> None:
    words = ["--parsable", "--chdir=/", "--output=/dev/null", "--hold", "--wrap=true"]
    mine, theirs = cluster.run("sbatch", *words).strip(), cluster.run("sbatch", "--uid=munge", *words).strip()
    slurm = Slurm(cluster.environment, tick_s=0.0, own=True)
    try:
        listing = await slurm.jobs.get()
        assert listing is not None and mine in listing.lines and theirs not in listing.lines and listing.positions == {}
        asked = await slurm.statuses([mine, theirs])  # of another's job there is still evidence, by its number
        assert [asked[job].state for job in (mine, theirs)] == [State.PENDING, State.PENDING]
    finally:
        cluster.run("scancel", mine, theirs)
