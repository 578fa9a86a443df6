"""Slurm, through its own commands: argument lists, never a shell; texts that people typed never stand among them unchecked.

- *One question for all.* Whoever asks for a job within `tick_s` gets the answer of one `squeue` for everybody's jobs.
- *Dead needs evidence.* A terminal state that squeue, scontrol or (where the site has accounting) sacct tells, or scontrol's
  "Invalid job id". A job that squeue does not list is only suspect; a command that fails makes its jobs UNKNOWN.
- *Secrets.* A job's environment reaches sbatch as its own environment, and only the names stand on its command line.

With `sudo`, submitting and cancelling run as the job's user, everything else as the caller.
"""

import asyncio
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import JOB_VARIABLE, Job, SchedulerError, State, Status

ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
JOB_ID = re.compile(r"\d+")
WAITING = {
    "CONFIGURING",
    "PENDING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
    "STOPPED",
    "SUSPENDED",
}
AT_WORK = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT"}
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
NO_SUCH_JOB = "Invalid job id"
TAIL_BYTES = 4000
_TICK_S = 0.1


class CommandError(SchedulerError):
    """A command of Slurm's that failed or did not answer: what it said."""


@dataclass
class Slurm:
    """Slurm's commands as seen by one caller. `environment` goes to each command, such as SLURM_CONF."""

    environment: Mapping[str, str] = field(default_factory=dict)
    tick_s: float = 2.0
    patience_s: float = 20.0  # for one command
    grace_s: float = 90.0  # until a cancelled job is gone: KillWait and an epilogue

    def __post_init__(self) -> None:
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._listed: dict[str, Status] = {}
        self._silence = ""  # why the last squeue told nothing
        self._addresses: dict[str, str] = {}

    async def run(self, *command: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """What a command prints. CommandError with its own words when it fails, or when it takes too long."""
        own = {**os.environ, **self.environment, "LC_ALL": "C"} if environment is None else dict(environment)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*command, env=own, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise CommandError(f"{command[0]} cannot be run: {error}.") from error
        try:
            told, complaint = await asyncio.wait_for(process.communicate(text.encode()), self.patience_s)
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise CommandError(f"{command[0]} did not answer within {self.patience_s:g} s.") from error
        if process.returncode:
            said = complaint.decode(errors="replace").strip() or f"it ended with exit code {process.returncode}"
            raise CommandError(f"{Path(command[0]).name}: {said}")
        return told.decode(errors="replace")

    async def statuses(self, ids: Collection[str]) -> dict[str, Status]:
        async with self._asking:
            if time.monotonic() - self._asked_at >= self.tick_s:
                await self._list()
        if self._silence:
            return {job_id: Status(State.UNKNOWN, reason=self._silence) for job_id in ids}
        return {job_id: self._listed.get(job_id) or await self._evidence(job_id) for job_id in ids}

    def forget(self) -> None:
        """What was listed is out of date: a job was submitted or cancelled."""
        self._asked_at = float("-inf")

    async def _list(self) -> None:
        try:
            told = await self.run("squeue", "--noheader", "--all", "--states=all", "--format=%i|%T|%B|%r")
            self._listed = {}
            for line in told.splitlines():
                job_id, state, host, reason = line.split("|", 3)
                self._listed[job_id] = await self._status(state, host, reason)
            self._silence = ""
        except CommandError as error:
            self._silence = str(error)
        self._asked_at = time.monotonic()

    async def _evidence(self, job_id: str) -> Status:
        """Of a job that squeue does not list: what scontrol knows, then what accounting remembers."""
        try:
            shown = await self.show(job_id)
        except CommandError as error:
            if NO_SUCH_JOB not in str(error):
                return Status(State.UNKNOWN, reason=str(error))
            return await self._remembered(job_id) or Status(State.FINISHED, reason="Slurm knows no such job any more")
        return await self._status(shown["JobState"], shown.get("BatchHost", ""), shown.get("Reason", ""))

    async def _remembered(self, job_id: str) -> Status | None:
        """From accounting, where the site has it: a terminal state with its exit code."""
        try:
            told = await self.run(
                "sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", f"--jobs={job_id}"
            )
        except CommandError:
            return None  # no accounting, or it is silent: scontrol has told already that the job is gone
        if not told.strip():
            return None
        state, code = told.splitlines()[0].split("|")
        return _ended(state.split()[0], code)

    async def _status(self, state: str, host: str, reason: str) -> Status:
        if state in ENDED:
            return _ended(state, "")
        if state in AT_WORK:
            return Status(State.RUNNING, host=await self.address(host))
        if state in WAITING:
            return Status(State.PENDING, reason=reason)
        return Status(State.UNKNOWN, reason=f"Slurm calls its state {state}")

    async def show(self, job_id: str) -> dict[str, str]:
        """What scontrol tells of a job, field by field."""
        told = await self.run("scontrol", "show", "job", "--oneliner", job_id)
        return dict(re.findall(r"(\S+?)=(.*?)(?=\s+\S+?=|\s*$)", told.splitlines()[0]))

    async def address(self, node: str) -> str:
        """Where a node is reached: Slurm's own NodeAddr, since its name need not resolve."""
        if node not in self._addresses:
            told = await self.run("scontrol", "show", "node", "--oneliner", node)
            found = re.search(r"NodeAddr=(\S+)", told)
            self._addresses[node] = found[1] if found else node
        return self._addresses[node]

    async def named(self, prefix: str) -> dict[str, str]:
        """Name → id of the jobs that have not ended and whose name begins so."""
        told = await self.run("squeue", "--noheader", "--all", "--format=%i|%j")
        pairs = (line.split("|", 1) for line in told.splitlines())
        return {name: job_id for job_id, name in pairs if name.startswith(prefix)}


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

    async def submit(self, job: Job) -> str:
        environment = {**job.environment, JOB_VARIABLE: job.name}
        script = job.script if job.script.startswith("#!") else f"#!/bin/bash\n{job.script}"
        command = [
            *_as_user(self.user if self.sudo else None, "--preserve-env"),
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
            owner = (await self.slurm.show(job_id))["UserId"].partition("(")[0] if self.sudo else None
            await self.slurm.run(*_as_user(owner, "--preserve-env=SLURM_CONF"), "scancel", job_id)
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
        what = f"Job {job_id}: {status.state.value}" + (f", {status.reason}" if status.reason not in ("", "None") else "")
        try:
            log = Path((await self.slurm.show(job_id)).get("StdOut", ""))
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - TAIL_BYTES))
                tail = file.read().decode(errors="replace").strip()
        except CommandError:
            return f"{what}."
        except OSError as error:
            return f"{what}. Its log cannot be read from here ({error.strerror}): {log}"
        return f"{what}. Its log ends with:\n{tail}" if tail else f"{what}. Its log is empty."

    async def find(self, prefix: str) -> dict[str, str]:
        return await self.slurm.named(prefix)


def _as_user(user: str | None, kept: str) -> Sequence[str]:
    """What stands before a command that runs as this account; nothing for the caller's own.

    sudo writes the values of variables that are named to it into the system's log, but not those of an environment that it keeps
    as a whole: a job's token must go the second way, and then nothing of the hub's own environment may be in it.
    """
    return () if user is None else ("sudo", "--non-interactive", f"--user={user}", kept, "--")


def options(resources: Resources) -> list[str]:
    """What a job asks of Slurm, as sbatch's options; what is None is left to the site.

    >>> options(Resources(cpus=4, memory_mb=1500, runtime="8:00:00", partition="gpu"))
    ['--cpus-per-task=4', '--mem=1500M', '--time=480', '--partition=gpu']
    """
    words = {
        "--cpus-per-task": resources.cpus,
        "--mem": None if resources.memory_mb is None else f"{resources.memory_mb}M",
        "--time": None if resources.runtime is None else -(-resources.runtime // timedelta(minutes=1)) or 1,
        "--gpus": resources.gpus or None,
        "--partition": resources.partition,
        "--account": resources.account,
    }
    return [f"{name}={value}" for name, value in words.items() if value is not None]


def _ended(state: str, code: str) -> Status:
    number = code.partition(":")[0]
    told = {"COMPLETED": "ended by itself", "TIMEOUT": "ended at its time limit", "CANCELLED": "cancelled"}
    exit_code = int(number) if number.isdigit() else 0 if state == "COMPLETED" else None
    return Status(State.FINISHED, exit_code=exit_code, reason=told.get(state, state.lower().replace("_", " ")))
