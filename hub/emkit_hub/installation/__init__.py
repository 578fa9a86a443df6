"""`emkit-hub check`: what is wrong with an installation, each with what to do.

finding.py   one line of the table
machine.py   of the hub's host: settings, versions, permissions, proxy, database
cluster.py   of the scheduler: reachable, accounting, partitions, sudo
node.py      of a node, by a real job: Python, shared file system, clock, the ways between node and hub (probe.py runs there)
"""

from collections.abc import AsyncIterator

from emkit_hub.data_folder import DataFolder
from emkit_hub.installation import cluster, machine, node
from emkit_hub.installation.finding import Finding, good
from emkit_hub.settings import Settings


async def examine(
    settings: Settings, folder: DataFolder, *, user: str | None = None, job: bool = True, patience_s: float = 60.0
) -> AsyncIterator[Finding]:
    """Every finding about an installation whose settings are valid. `user`: an account to try sudo and a job with."""
    for look in (machine.versions, machine.secrets_closed, machine.python_for_all, machine.proxy_answers, machine.database):
        for finding in look(settings, folder):
            yield finding
    if settings.spawner != "emkit-slurm":
        yield good("scheduler", f"{settings.spawner}: no Slurm")
        return
    slurm = cluster.slurm_of(settings)
    reachable = True
    async for finding in cluster.scheduler(slurm):
        reachable &= not finding.is_wrong
        yield finding
    if reachable:
        async for finding in cluster.accounting(slurm):
            yield finding
        async for finding in cluster.partitions(settings, slurm):
            yield finding
    user = user or cluster.candidate(settings.slurm.accounts)
    may_submit = True
    for finding in cluster.sudo(settings, slurm, user):
        may_submit &= not finding.is_wrong or finding.what != "sudo: sbatch"
        yield finding
    if job and reachable and may_submit:
        for partition in dict.fromkeys(profile.partition for profile in settings.profiles.values()):
            async for finding in node.trial(settings, folder, slurm, user, partition, patience_s):
                yield finding
