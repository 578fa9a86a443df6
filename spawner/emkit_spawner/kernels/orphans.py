"""Jobs that no kernel needs any more, ended: at once, and again until the scheduler confirms it.

The folders are the ledger: one with a record is a job that has not been seen to end.
"""

import contextlib
import shutil
import time
from logging import Logger
from pathlib import Path

from emkit_jobs.scheduler import SchedulerError, State

from emkit_spawner.kernels.launcher import read, write
from emkit_spawner.kernels.record import FILE, Owner, Record, kernel_folders

KEPT_S = 14 * 86400.0  # what is left of a kernel that died: its log
SUBMITTING_S = 600.0  # an sbatch that outlived its server has given up by then
SECRETS = ("seed.json", "kernel.json")


async def job_of(root: Path, folder: Path, record: Record) -> str:
    """The number of a record's job: noted, told by its launcher, or found by its name; empty when there is none (yet)."""
    if record.job_id:
        return record.job_id
    told = read(folder / "status.json").get("job")
    return str(told) if told else (await record.place.open(root).find(record.job_name, own=True)).get(record.job_name, "")


async def end(root: Path, record: Record, me: Owner, *, keep_log: bool = False) -> None:
    """End a kernel's job by order, which works without the scheduler, and by the scheduler, which works without the node.

    SchedulerError while it is not confirmed: the record stays, and `sweep` tries again.
    """
    folder = root / record.kernel_id
    with contextlib.suppress(OSError):  # a file system that is away: the scheduler ends it all the same
        write(folder / "order.json", {"start": record.start, "do": "end"})
    scheduler = record.place.open(root)
    job_id = await job_of(root, folder, record)
    if not job_id and record.owner != me and time.time() - record.made_at < SUBMITTING_S:
        raise SchedulerError(f"Job {record.job_name} is not listed yet. When it comes, it ends at once.")
    if job_id and (await scheduler.query_many([job_id]))[job_id].state is not State.FINISHED:
        await scheduler.cancel(job_id)
    if keep_log:
        for name in (*SECRETS, FILE):
            (folder / name).unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # a node's last write through NFS may come in between: swept later


async def sweep(root: Path, me: Owner, log: Logger) -> None:
    """End what was to end, and the jobs of programs that are gone; remove what is left of kernels that died long ago."""
    for _, record in kernel_folders(root):
        # of a server that is gone the next one takes care, which may take the kernel back
        left = record.owner.gone(me) and (record.over or not record.server)
        if left or (record.owner == me and record.over):
            try:
                await end(root, record, me)
                log.info("Job %s of kernel %s, which nobody owns, is ended", record.job_id or record.job_name, record.kernel_id)
            except SchedulerError as error:
                log.warning("Kernel %s: its job is not known to have ended, and is tried again: %s", record.kernel_id, error)
    oldest = time.time() - KEPT_S
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name != "jobs" and not (folder / FILE).exists() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
