"""What a scheduler is to us: jobs with four states, nothing taken for dead without evidence, and what it tells people who wait.

Times are POSIX seconds. What is told to people is the last known answer with the time it was asked at; a scheduler that is silent
gives an old answer or None, never an error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self

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
    node: str = ""  # the name of that host, for people


@dataclass(frozen=True)
class Job:
    """A script to run. `name` must be unique: it tells hub, user and server, so that a job can be found again by it."""

    name: str
    script: str
    folder: Path  # where it starts
    environment: Mapping[str, str] = field(default_factory=dict)  # never written to disk: it may hold tokens
    resources: Resources = Resources()


@dataclass(frozen=True)
class Waiting:
    """Why a job does not run yet."""

    reason: str  # in plain words
    position: int | None  # 1: the next one in its partition; None: it is in no line (held, before its time)
    expected_at: float | None  # its start, as the scheduler plans now
    asked_at: float


@dataclass(frozen=True)
class Listed:
    """One of an account's jobs that wait or run, for people."""

    job_id: str
    state: str  # "queued" or "running"
    partition: str
    node: str
    ends_at: float | None


@dataclass(frozen=True)
class Room:
    """What is free on one node."""

    node: str
    cpus: int
    memory_mb: int
    gpus: int

    def holds(self, resources: Resources) -> bool:
        return (resources.cpus or 1) <= self.cpus and (resources.memory_mb or 0) <= self.memory_mb and resources.gpus <= self.gpus


@dataclass(frozen=True)
class Free:
    """What is free in one partition. `_up`: all there is, without nodes that are down or kept for others."""

    partition: str
    nodes: int  # with nothing on them
    nodes_up: int
    cpus: int
    cpus_up: int
    gpus: int
    gpus_up: int
    memory_mb: int  # the largest on one node
    memory_up_mb: int
    asked_at: float
    runtime_s: float | None = None  # of jobs that name none; None: no limit
    longest_s: float | None = None  # that a job may name; None: no limit
    default: bool = False  # the partition of jobs that name none
    shared: bool = False  # jobs take from each other there, and none waits
    rooms: tuple[Room, ...] = field(default=(), repr=False)  # the nodes that still have a free core

    def shown(self) -> dict[str, int | float | bool]:
        """All but the rooms, for a page."""
        return {name: value for name, value in vars(self).items() if name != "rooms"}


def in_partition(free: Mapping[str, Free], names: str | None) -> Free | None:
    """Of the partitions that a job may name ("a,b"; None: the default one) the one with the most free cores."""
    if names is None:
        return next((found for found in free.values() if found.default), None)
    return max((free[name] for name in names.split(",") if name in free), key=lambda found: found.cpus, default=None)


@dataclass(frozen=True)
class Queue:
    """How many jobs of everybody wait and run. `silence`: why the scheduler does not answer since `asked_at`; empty: it does."""

    pending: int
    running: int
    asked_at: float | None  # of the last answer; None: never yet
    silence: str = ""


@dataclass(frozen=True)
class Outlook:
    """What would become of a job with such resources."""

    starts_at: float | None  # None: unknown
    asked_at: float
    refused: str = ""  # the scheduler's own words, when such a job cannot be
    sooner: Resources | None = None  # a smaller shape that starts at once, when this one does not


@dataclass(frozen=True)
class Asked:
    """The numbers of a job's request; None: left to the scheduler."""

    cpus: int | None = None
    memory_mb: int | None = None
    gpus: int = 0
    runtime_s: float | None = None


@dataclass(frozen=True)
class Usage:
    """What a job has used so far, or in all when it has ended. None: the scheduler cannot tell."""

    elapsed_s: float
    cpu_s: float | None
    memory_peak_mb: float | None
    gpu_percent: float | None  # mean over time and GPUs
    gpu_memory_peak_mb: float | None
    asked: Asked
    ends_at: float | None  # when its time is over; None: it has ended, or has no limit

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """The usage that `dataclasses.asdict` has written; what else stands beside it is left out."""
        own = {name: fields[name] for name in cls.__dataclass_fields__}
        return cls(**{**own, "asked": Asked(**own["asked"])})


class Jobs(Protocol):
    """What is done with jobs: all that a program needs which runs them."""

    async def submit(self, job: Job) -> str:
        """The new job's id. SchedulerError with the scheduler's own text when it refuses."""

    async def query_many(self, ids: Collection[str]) -> dict[str, Status]:
        """The status of each job. Never raises for a scheduler that does not answer: that is UNKNOWN."""

    async def cancel(self, job_id: str) -> None:
        """End a job with all its processes; returns when they are gone, at once for a finished job."""

    async def explain(self, job_id: str) -> str:
        """In plain words why the job waits or ended, with the end of its log."""

    async def find(self, prefix: str, *, own: bool = False) -> dict[str, str]:
        """Name → id of the jobs that are not finished and whose name begins with `prefix`; `own`: of the account it submits as."""


class Prospects(Protocol):
    """What people are told: of their jobs, of what is free, and of when something would start."""

    async def own_jobs(self) -> list[Listed]:
        """Those that wait or run of the account it submits as; none where that is the caller's, whose jobs are everybody's."""

    async def waiting(self, job_id: str) -> Waiting | None:
        """Why the job waits; None when it does not."""

    async def ends_at(self, job_id: str) -> float | None:
        """When the time limit of a running job ends it; None when it does not run, or has none."""

    async def usage(self, job_id: str) -> Usage | None:
        """What a running or ended job has used; None when the scheduler remembers nothing of it."""

    async def free(self) -> Mapping[str, Free]:
        """What is free, by partition ("" where there are none)."""

    async def queue(self) -> Queue:
        """How busy the scheduler is, and whether it answers."""

    async def outlook(self, resources: Resources, movable: Collection[str] = ()) -> Outlook:
        """When a job would start that were submitted now. `movable`: the fields in which a sooner one may be smaller."""

    async def starts_at(self, resources: Resources) -> float | None:
        """When a job would start that were submitted now; None: unknown, or never."""


class Scheduler(Jobs, Prospects, Protocol):
    """An adapter is both."""
