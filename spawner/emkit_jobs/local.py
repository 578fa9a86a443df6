"""The scheduler of a machine that has none: a job is a session of processes and a folder.

    JOBS/NAME/script  asked  pid  exit  times  peak  log  cancelled        (0700; the log 0600)

The job's first process writes its number and start time itself (`pid`) and, at the end, the exit code (`exit`), so nothing is
lost when the hub is killed at any moment; a later one reads the folder. Jobs run under the caller's own account.
The limits are real: processors by affinity, time by `timeout`, memory by RLIMIT_DATA, which holds for each process by itself.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from emkit_jobs import machine, processes
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import (
    JOB_VARIABLE,
    Asked,
    Free,
    Job,
    Listed,
    Outlook,
    Queue,
    SchedulerError,
    State,
    Status,
    Usage,
    Waiting,
)
from emkit_jobs.shared import Shared

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
TIMED_OUT = 124  # exit code of timeout(1)
STARTS_WITHIN_S = 10.0  # a folder older than this whose job no process carries: it was never started
KEPT_DAYS = 14  # folders of finished jobs
TAIL_BYTES = 4000
_TICK_S = 0.05
_LOOK_S = 0.2  # over which a core's idleness is measured
_NO_GPUS = "{} GPUs were asked for, but the local scheduler has none: ask for gpus = 0."

# $1 the job's folder, then the command that sets its limits. Waits for the script even when told to stop, to write its exit code.
_RUNNER = r"""
folder=$1; shift
trap : TERM
stat=$(< "/proc/$$/stat"); fields=(${stat##*) })
echo "$$ ${fields[19]} $(< /proc/sys/kernel/random/boot_id)" > "$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
[[ -e $folder/cancelled ]] && exit
"$@" "$folder/script"
code=$?
times > "$folder/times"
echo "$code" > "$folder/exit.new" && mv "$folder/exit.new" "$folder/exit"
"""


class LocalScheduler:
    """Jobs of this machine, in `folder`. `grace_s`: how long a job may take to end by itself when it is cancelled."""

    def __init__(self, folder: Path, *, grace_s: float = 5.0) -> None:
        self.folder = folder
        self.grace_s = grace_s

    async def submit(self, job: Job) -> str:
        if not NAME.fullmatch(job.name):
            raise SchedulerError(f"{job.name!r} cannot name a job: letters, digits, dot, dash and underscore only, at most 128.")
        if job.resources.gpus:
            raise SchedulerError(_NO_GPUS.format(job.resources.gpus))
        await asyncio.to_thread(self._start, job)
        return job.name

    def _start(self, job: Job) -> None:
        folder = self.folder / job.name
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._prune()
            folder.mkdir(mode=0o700)
            (folder / "script").touch(mode=0o700)
            (folder / "script").write_text(job.script)
            (folder / "asked").write_text(json.dumps(asdict(_asked(job.resources))))
            log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        except OSError as error:
            raise SchedulerError(f"The job's folder {folder} cannot be made: {error}.") from error
        runner = ["/bin/bash", "-c", _RUNNER, "emkit-job", str(folder), *_limits(job.resources)]
        try:
            subprocess.run(  # setsid leaves at once: the job is nobody's child and in a session of its own
                ["setsid", "--fork", *runner],
                cwd=job.folder,
                env={**job.environment, JOB_VARIABLE: job.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(folder)
            raise SchedulerError(f"The job could not be started in {job.folder}: {error}.") from error
        finally:
            os.close(log)

    async def query_many(self, ids: Collection[str]) -> dict[str, Status]:
        return {job_id: self._status(job_id) for job_id in ids}

    def _status(self, job_id: str) -> Status:
        folder = self.folder / job_id
        try:
            leader = processes.Identity.read(folder / "pid")
            if leader is not None and leader.alive():
                return Status(State.RUNNING, host="127.0.0.1")
            if (folder / "exit").exists():
                return _ended(int((folder / "exit").read_text()))
            if leader is not None:
                return Status(State.FINISHED, reason="killed")
            if processes.carrying(job_id) or (folder.is_dir() and time.time() - folder.stat().st_mtime < STARTS_WITHIN_S):
                return Status(State.PENDING)
            self.folder.stat()  # a folder of jobs that is there without this one: it is not one of ours, or was never started
        except (OSError, ValueError) as error:
            return Status(State.UNKNOWN, reason=str(error))
        return Status(State.FINISHED, reason="no such job")

    async def cancel(self, job_id: str) -> None:
        folder = self.folder / job_id
        if folder.is_dir():
            (folder / "cancelled").touch(mode=0o600)  # read by a job that is about to start

        def session() -> set[int]:
            leader = processes.Identity.read(folder / "pid")
            return set() if leader is None else leader.session()

        def everyone() -> set[int]:  # kernels lead sessions of their own
            return session() | processes.carrying(job_id)

        # first the server, which ends its kernels by itself; then what is left over, politely and at last by force
        await _end(session, signal.SIGTERM, self.grace_s)
        await _end(everyone, signal.SIGTERM, self.grace_s / 5)
        await _end(everyone, signal.SIGKILL, self.grace_s)
        if left := everyone():
            raise SchedulerError(
                f"Processes {sorted(left)} of job {job_id} do not end, even by SIGKILL: they wait for a device or file system."
            )

    async def explain(self, job_id: str) -> str:
        status = self._status(job_id)
        log = self.folder / job_id / "log"
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - TAIL_BYTES))
                tail = file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            tail = ""
        what = f"Job {job_id}: {status.state.value}" + (f", {status.reason}" if status.reason else "")
        return f"{what}. Its log ends with:\n{tail}" if tail else f"{what}. Its log is empty."

    async def find(self, prefix: str, *, own: bool = False) -> dict[str, str]:
        if not self.folder.is_dir():
            return {}
        names = [folder.name for folder in self.folder.iterdir() if folder.name.startswith(prefix)]
        return {name: name for name in names if self._status(name).state is not State.FINISHED}

    async def waiting(self, job_id: str) -> Waiting | None:
        return None  # a job starts at once

    async def ends_at(self, job_id: str) -> float | None:
        used = await self.usage(job_id)
        return None if used is None else used.ends_at

    async def usage(self, job_id: str) -> Usage | None:
        return await asyncio.to_thread(self._usage, job_id) if NAME.fullmatch(job_id) else None

    def _usage(self, job_id: str) -> Usage | None:
        folder = self.folder / job_id
        try:
            asked = Asked(**json.loads((folder / "asked").read_text()))
            began = (folder / "pid").stat().st_mtime
            peak_mb = float((folder / "peak").read_text()) if (folder / "peak").exists() else None
            if (folder / "exit").exists():
                elapsed_s, cpu_s = (folder / "exit").stat().st_mtime - began, _cpu_s((folder / "times").read_text())
                return Usage(elapsed_s, cpu_s, peak_mb, None, None, asked, None)
            leader = processes.Identity.read(folder / "pid")
            pids = processes.carrying(job_id) | (leader.session() if leader is not None else set())
            if not pids:
                return None  # killed with all its processes: nobody has counted
            cpu_s, memory_mb = machine.use(pids)
            if memory_mb > (peak_mb or 0.0):
                peak_mb = memory_mb
                (folder / "peak").write_text(f"{peak_mb:.1f}")
        except (OSError, ValueError):
            return None  # not started yet, or pruned
        ends_at = None if asked.runtime_s is None else began + asked.runtime_s
        return Usage(time.time() - began, cpu_s, peak_mb, None, None, asked, ends_at)

    async def free(self) -> Mapping[str, Free]:
        return await _machine().get() or {}

    async def own_jobs(self) -> list[Listed]:
        return []

    async def queue(self) -> Queue:
        running = await self.find("")
        return Queue(0, len(running), time.time())

    async def outlook(self, resources: Resources, movable: Collection[str] = ()) -> Outlook:
        refused = _NO_GPUS.format(resources.gpus) if resources.gpus else ""
        return Outlook(None if refused else time.time(), time.time(), refused)

    async def starts_at(self, resources: Resources) -> float | None:
        return (await self.outlook(resources)).starts_at

    def _prune(self) -> None:
        oldest = time.time() - KEPT_DAYS * 86400
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder.stat().st_mtime < oldest and self._status(folder.name).state is State.FINISHED:
                shutil.rmtree(folder)


@cache
def _machine() -> Shared[dict[str, Free]]:
    """One look at the machine for everybody."""

    async def look() -> dict[str, Free]:
        before = machine.core_times()
        await asyncio.sleep(_LOOK_S)
        return {"": machine.free(before)}

    return Shared(look, keep_s=5.0)


def _asked(resources: Resources) -> Asked:
    runtime_s = None if resources.runtime is None else resources.runtime.total_seconds()
    return Asked(resources.cpus, resources.memory_mb, resources.gpus, runtime_s)


def _cpu_s(times: str) -> float:
    """Processor time of all children, from what bash's `times` prints: its own, then theirs, each user and system."""
    return sum(60 * float(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", times)[2:])


def _limits(resources: Resources) -> list[str]:
    """The command that runs another one within `resources`."""
    words = []
    if resources.runtime is not None:
        words += ["timeout", "--kill-after=30", str(resources.runtime.total_seconds())]
    if resources.cpus is not None:
        ours = sorted(os.sched_getaffinity(0))[: resources.cpus]
        words += ["taskset", "--cpu-list", ",".join(str(cpu) for cpu in ours)]
    if resources.memory_mb is not None:
        words += ["prlimit", f"--data={resources.memory_mb * 2**20}"]
    return words


def _ended(code: int) -> Status:
    if code == TIMED_OUT:
        return Status(State.FINISHED, exit_code=code, reason="ended at its time limit")
    return Status(State.FINISHED, exit_code=code, reason=f"ended with exit code {code}")


async def _end(chosen: Callable[[], set[int]], number: signal.Signals, patience_s: float) -> None:
    """Send each of `chosen` the signal once, newcomers too, until there are none or patience ends."""
    told: set[int] = set()
    last = time.monotonic() + patience_s
    while (left := chosen()) and time.monotonic() < last:
        for pid in left - told:
            processes.send(pid, number)
        told |= left
        await asyncio.sleep(_TICK_S)
