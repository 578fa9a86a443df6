"""The scheduler of a cluster: jobs of one account, over a Slurm that all users of a hub share."""

import asyncio
import errno
import os
import pwd
import re
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import JOB_VARIABLE, Free, Job, Listed, Outlook, Queue, SchedulerError, State, Status, Usage, Waiting
from emkit_jobs.slurm import accounting, outlook
from emkit_jobs.slurm.cluster import Slurm
from emkit_jobs.slurm.commands import NO_SUCH_JOB, CommandError, as_user
from emkit_jobs.slurm.listing import AT_WORK, WAITING
from emkit_jobs.slurm.outlook import PATIENCE_S
from emkit_jobs.slurm.reasons import STATES, plain

ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
JOB_ID = re.compile(r"\d+")
TAIL_BYTES = 4000
_TICK_S = 0.1


@dataclass(frozen=True)
class SlurmScheduler:
    """Jobs of one account, `user` (None: the caller's own). `log` may hold %x, the job's name, and %j, its number."""

    slurm: Slurm
    user: str | None = None
    sudo: bool = False
    log: str = ".emkit-%x.log"

    def __post_init__(self) -> None:
        if self.user is not None and not ACCOUNT.fullmatch(self.user):
            raise SchedulerError(f"{self.user!r} is no account's name: letters, digits and _ . @ - only.")

    def _uid(self) -> int:
        """Of the account it submits as."""
        try:
            return os.getuid() if self.user is None else pwd.getpwnam(self.user).pw_uid
        except KeyError as error:
            raise SchedulerError(f"{self.user} has no Unix account here, and a job needs one. Ask the administrator.") from error

    async def submit(self, job: Job) -> str:
        environment = {**job.environment, JOB_VARIABLE: job.name}
        script = job.script if job.script.startswith("#!") else f"#!/bin/bash\n{job.script}"
        command = [
            *as_user(self.user if self.sudo else None, "--preserve-env"),
            "sbatch", "--parsable", f"--job-name={job.name}", f"--chdir={job.folder}", f"--output={self.log}",
            f"--export={','.join(environment)}", *options(job.resources),
        ]  # fmt: skip
        inherited = {**os.environ, **self.slurm.environment}
        needed = {name: value for name, value in inherited.items() if name in ("PATH", "SLURM_CONF")}
        told = await self.slurm.run(*command, text=script, environment={**needed, **environment, "LC_ALL": "C"})
        self.slurm.forget()
        job_id = told.strip().partition(";")[0]
        if not JOB_ID.fullmatch(job_id):
            raise SchedulerError(f"sbatch answered {told.strip()!r} instead of a job's number.")
        return job_id

    async def query_many(self, ids: Collection[str]) -> dict[str, Status]:
        return await self.slurm.statuses(ids)

    async def cancel(self, job_id: str) -> None:
        if not JOB_ID.fullmatch(job_id):
            return
        try:
            owner = await self.slurm.owner(job_id) if self.sudo else None
            if owner is not None or not self.sudo:
                await self.slurm.run(*as_user(owner, "--preserve-env=SLURM_CONF"), "scancel", job_id)
        except CommandError as error:
            if NO_SUCH_JOB not in str(error):
                raise
        last = time.monotonic() + self.slurm.grace_s
        while True:
            self.slurm.forget()
            status = (await self.query_many([job_id]))[job_id]
            if status.state is State.FINISHED:
                return
            if time.monotonic() > last:
                raise SchedulerError(f"Job {job_id} is cancelled, but has not ended within {self.slurm.grace_s:g} s.")
            await asyncio.sleep(_TICK_S)

    async def explain(self, job_id: str) -> str:
        status = (await self.query_many([job_id]))[job_id]
        reason = plain(status.reason) if status.state is State.PENDING else status.reason
        what = f"Job {job_id}: {status.state.value}" + (f", {reason}" if reason else "")
        try:
            log = Path((await self.slurm.show(job_id)).get("StdOut", ""))
            tail = _tail(log, self._uid())
        except CommandError:
            return f"{what}."
        except OSError as error:
            return f"{what}. Its log cannot be read from here ({error.strerror}): {log}"
        return f"{what}. Its log ends with:\n{tail}" if tail else f"{what}. Its log is empty."

    async def find(self, prefix: str, *, own: bool = False) -> dict[str, str]:
        return await self.slurm.named(prefix, pwd.getpwuid(self._uid()).pw_name if own else None)

    async def own_jobs(self) -> list[Listed]:
        listing = await self.slurm.jobs.get(PATIENCE_S) if self.user is not None else None
        lines = [line for line in listing.lines.values() if line.account == self.user] if listing is not None else []
        running = [Listed(one.job_id, "running", one.partitions[0], one.host, one.end) for one in lines if one.state in AT_WORK]
        waiting = [Listed(one.job_id, "queued", ",".join(one.partitions), "", None) for one in lines if one.state in WAITING]
        return running + waiting

    async def waiting(self, job_id: str) -> Waiting | None:
        listing = await self.slurm.jobs.get(PATIENCE_S)
        line = listing.lines.get(job_id) if listing is not None else None
        if listing is None or line is None or line.state not in WAITING:
            return None
        reason = STATES.get(line.state) or plain(line.reason)
        asked_at = self.slurm.jobs.asked_at or time.time()
        return Waiting(reason, listing.positions.get(job_id), line.start, asked_at)

    async def ends_at(self, job_id: str) -> float | None:
        listing = await self.slurm.jobs.get(PATIENCE_S)
        line = listing.lines.get(job_id) if listing is not None else None
        return line.end if line is not None and line.state in AT_WORK else None

    async def usage(self, job_id: str) -> Usage | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        return await self.slurm.usages.of(job_id, lambda: accounting.usage(self.slurm, job_id)).get(PATIENCE_S)

    async def free(self) -> Mapping[str, Free]:
        return await self.slurm.free.get(PATIENCE_S) or {}

    async def queue(self) -> Queue:
        listing, jobs = await self.slurm.jobs.get(PATIENCE_S), self.slurm.jobs
        if listing is None:
            return Queue(0, 0, None, jobs.silence or f"squeue did not answer within {PATIENCE_S:g} s.")
        return Queue(listing.count(WAITING), listing.count(AT_WORK), jobs.asked_at, jobs.silence)

    async def outlook(self, resources: Resources, movable: Collection[str] = ()) -> Outlook:
        return await outlook.look(self.slurm, self._test, resources, movable)

    async def starts_at(self, resources: Resources) -> float | None:
        return (await self.outlook(resources)).starts_at

    def _test(self, resources: Resources) -> tuple[str, ...]:
        """The command that tests a submission: as the user, since accounts and limits are the user's."""
        user = as_user(self.user if self.sudo else None, "--preserve-env=SLURM_CONF,SLURM_TIME_FORMAT")
        return (*user, "sbatch", "--test-only", *options(resources))


def options(resources: Resources) -> list[str]:
    """What a job asks of Slurm, as sbatch's options; what is None is left to the site.

    >>> options(Resources(cpus=4, memory_mb=1500, runtime="8:00:00", partition="gpu", qos="realtime"))
    ['--cpus-per-task=4', '--mem=1500M', '--time=480', '--partition=gpu', '--qos=realtime']
    """
    words = {
        "--cpus-per-task": resources.cpus,
        "--mem": None if resources.memory_mb is None else f"{resources.memory_mb}M",
        "--time": None if resources.runtime is None else -(-resources.runtime // timedelta(minutes=1)) or 1,
        "--gpus": resources.gpus or None,
        "--partition": resources.partition,
        "--account": resources.account,
        "--qos": resources.qos,
    }
    return [f"{name}={value}" for name, value in words.items() if value is not None]


def _tail(log: Path, uid: int) -> str:
    """How a job's log ends. Its user may put a link in its place, so it is read only if it is the user's own file."""
    with os.fdopen(os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
            raise PermissionError(errno.EPERM, "it is not a file of the job's account", str(log))
        file.seek(max(0, found.st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
