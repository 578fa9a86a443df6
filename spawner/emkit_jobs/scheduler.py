"""What a scheduler is to us: five calls, four states, and nothing taken for dead without evidence."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from emkit_jobs.profiles import Resources

JOB_VARIABLE = "EMKIT_JOB"  # in the environment of every process of a job: its name


class SchedulerError(RuntimeError):
    """The scheduler refused or could not be asked; the text is its own."""


class State(Enum):
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"  # on positive evidence alone
    UNKNOWN = "unknown"  # the scheduler could not say: neither alive nor dead


@dataclass(frozen=True)
class Status:
    state: State
    host: str | None = None  # where to reach a running job
    exit_code: int | None = None  # of a finished one, where it is known
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """A script to run. `name` must be unique: it tells hub, user and server, so that a job can be found again by it."""

    name: str
    script: str
    folder: Path  # where it starts
    environment: Mapping[str, str] = field(default_factory=dict)  # never written to disk: it may hold tokens
    resources: Resources = Resources()


class Scheduler(Protocol):
    async def submit(self, job: Job) -> str:
        """The new job's id. SchedulerError with the scheduler's own text when it refuses."""

    async def query_many(self, ids: Collection[str]) -> dict[str, Status]:
        """The status of each job. Never raises for a scheduler that does not answer: that is UNKNOWN."""

    async def cancel(self, job_id: str) -> None:
        """End a job with all its processes; returns when they are gone, at once for a finished job."""

    async def explain(self, job_id: str) -> str:
        """In plain words why the job waits or ended, with the end of its log."""

    async def find(self, prefix: str) -> dict[str, str]:
        """Name → id of the jobs that are not finished and whose name begins with `prefix`."""
