"""Runs that are jobs of their own on a cluster: submitted, looked after from outside, taken back.

The run's folder lies on a file system that the nodes share; the job drives the run by it, as anybody else would. Whether
the job lives is Slurm's to say: only its word that the job has ended ends the run, as `interrupted`, unless the run has said its
end itself. A job that Slurm starts anew (requeued after a lost node) goes on by the journal.
"""

import asyncio
import os
import pwd
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from emkit_jobs.offered import Offer
from emkit_jobs.profiles import runtime
from emkit_jobs.scheduler import Job, SchedulerError, State, Status, Waiting
from emkit_jobs.script import Verbatim, render
from emkit_jobs.slurm import Slurm, SlurmScheduler

from emkit.errors import ResourceError

T = TypeVar("T")
PREFIX = "emkit-run-"
LOOK_S = 1.0  # for so long an answer of Slurm's holds, whoever asks in this process
GRACE_S = 60  # before its time limit a job is told, so that it ends its run itself
# The driver takes the place of the shell: what Slurm tells the job, it hears. Its output belongs behind that of an earlier try.
SCRIPT = """\
#!/bin/bash
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@{{ grace_s }}
{{ prologue }}
exec {{ command }}
"""
KEPT_VARIABLES = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "EMKIT_RUNS_DIR", "SLURM_CONF")


@dataclass(frozen=True)
class Look:
    """What Slurm says of a job: its state, and more in words."""

    state: State
    words: str


def submit(folder: Path, log: Path, offer: Offer) -> str:
    """The number of a new job that drives the run in this folder. ResourceError with Slurm's own words where it refuses."""
    try:
        return submit_command(f"{PREFIX}{folder.name}", [sys.executable, "-m", "emkit.runs", str(folder)], folder, log, offer)
    except SchedulerError as refused:
        raise ResourceError(f"Slurm refuses the job of this run: {refused}") from refused


def submit_command(name: str, command: list[str], folder: Path, log: Path, offer: Offer) -> str:
    """The number of a new job that runs a command in a folder, and again if Slurm starts it anew. SchedulerError: it refuses."""
    grace_s = GRACE_S if offer.resources.runtime is None else min(GRACE_S, int(offer.resources.runtime.total_seconds() / 10))
    script = render(SCRIPT, grace_s=grace_s, prologue=Verbatim(offer.prologue), command=command)
    job = Job(name, script, folder, environment(offer), offer.resources)
    return _asked(lambda: SlurmScheduler(_slurm(offer.slurm_conf), log=str(log).replace("%", "%%")).submit(job))


def environment(offer: Offer) -> dict[str, str]:
    """Of a run's job: made anew, since a server's own holds tokens; `offer` has the site's part of it."""
    account = pwd.getpwuid(os.getuid())
    return {
        "HOME": str(Path.home()),
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        **({"SLURM_CONF": offer.slurm_conf} if offer.slurm_conf else {}),
        **offer.resources.environment,
    }


_looks: dict[tuple[str, str], tuple[float, Look]] = {}


def look(job: Mapping[str, Any]) -> Look:
    """Whether a job waits, runs or has ended, and why."""
    key = job["id"], job["slurm_conf"]
    if key not in _looks or time.monotonic() - _looks[key][0] > LOOK_S:
        found = _asked(lambda: _look(*key))
        _looks[key] = time.monotonic(), found
    return _looks[key][1]


async def _look(job_id: str, slurm_conf: str) -> Look:
    scheduler = SlurmScheduler(_slurm(slurm_conf))
    status = (await scheduler.query_many([job_id]))[job_id]
    waiting = await scheduler.waiting(job_id) if status.state is State.PENDING else None
    return Look(status.state, _words(job_id, status, waiting))


def _words(job_id: str, status: Status, waiting: Waiting | None) -> str:
    match status.state:
        case State.PENDING:
            place = f", place {waiting.position} in its line" if waiting and waiting.position else ""
            start = (
                f", start expected {datetime.fromtimestamp(waiting.expected_at):%a %H:%M}"
                if waiting and waiting.expected_at
                else ""
            )
            return f"job {job_id} waits: {waiting.reason if waiting else status.reason}{place}{start}"
        case State.RUNNING:
            return f"job {job_id} runs on {status.node}"
        case State.FINISHED:
            return f"its job {job_id} has ended: {status.reason}"
        case State.UNKNOWN:
            return f"Slurm does not say what became of job {job_id}: {status.reason}"


def cancel(job: Mapping[str, Any]) -> bool:
    """End a job; False where Slurm does not take the order now."""
    try:
        _asked(lambda: SlurmScheduler(_slurm(job["slurm_conf"])).cancel(job["id"]))
    except SchedulerError:
        return False
    _looks.pop((job["id"], job["slurm_conf"]), None)
    return True


def _slurm(slurm_conf: str) -> Slurm:
    return Slurm({"SLURM_CONF": slurm_conf} if slurm_conf else {})


def _asked(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer, also for whoever stands in an event loop of their own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(question())).result()


def time_limit(job_id: str) -> timedelta | None:
    """Of a job that is known to the Slurm of this machine; None where it has none, or Slurm does not say."""
    try:
        return runtime(_asked(lambda: Slurm().show(job_id))["TimeLimit"])
    except (SchedulerError, KeyError, ValueError):  # "UNLIMITED" is no time
        return None


def own_address(slurm_conf: str) -> str | None:
    """Where other nodes reach this one, as Slurm knows it; None in no job."""
    node = os.environ.get("SLURMD_NODENAME")
    return _asked(lambda: _slurm(slurm_conf).address(node)) if node else None
