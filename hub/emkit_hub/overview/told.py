"""What the hub tells of all its users (`GET api/emkit/system`), as records. Times are POSIX seconds.

The hub and this service are of one version, started by one another; fields that are not shown are passed over all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emkit_jobs.scheduler import Free, Queue, Usage, Waiting
from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Past(Usage):
    """What a session that has ended has used."""

    profile: str | None = None
    ended_at: float | None = None


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Job(_Told):
    """A job of a user's account that is no server's."""

    user: str
    job_id: str
    state: str
    partition: str = ""
    node: str = ""
    ends_at: float | None = None

    @property
    def what(self) -> str:
        """What little is known of it: names are the user's own words, and are not asked for."""
        return f"another, in {self.partition}"

    @property
    def place(self) -> str:
        """The node's name."""
        return self.node


class Session(_Told):
    """One server of one user; `server` is "" for the one without a name, `error` why its last start failed."""

    user: str
    server: str = ""
    state: str
    job_id: str = ""
    profile: str = ""
    node: str = ""
    ends_at: float | None = None
    waiting: Waiting | None = None
    usage: Usage | None = None
    past: tuple[Past, ...] = ()
    error: str = ""

    @property
    def place(self) -> str:
        """The node's name as people know it."""
        return "this machine" if self.node == "127.0.0.1" else self.node

    @property
    def what(self) -> str:
        """What it is for, in a word."""
        return self.server or "JupyterLab"


class Counts(_Told):
    """What an operator asks first, counted since the hub began."""

    orphans: int  # jobs that were found with no server that owns them
    ending: int  # jobs that are to end, and whose end is not confirmed yet
    without_answer: int  # questions that the scheduler did not answer
    lost: int  # sessions that ended without being asked to


class System(_Told):
    """Everything, of everybody: never shown whole to a user (see `view`)."""

    free: Mapping[str, Free] = {}
    queue: Queue | None = None
    sessions: tuple[Session, ...] = ()
    jobs: tuple[Job, ...] = ()
    counts: Counts | None = None

    @classmethod
    def read(cls, answer: Any) -> "System":
        """The hub's JSON; ValidationError when it is something else."""
        return cls.model_validate(answer)


def cpu_share(usage: Usage) -> float | None:
    """Processor time used, of the processor time that was there: 0 to 1; None where one of them is not known."""
    if usage.cpu_s is None or not usage.elapsed_s or not usage.asked.cpus:
        return None
    return min(1.0, usage.cpu_s / (usage.elapsed_s * usage.asked.cpus))


def memory_share(usage: Usage) -> float | None:
    """The peak, of the memory asked for; None where one of them is not known."""
    return usage.memory_peak_mb / usage.asked.memory_mb if usage.memory_peak_mb and usage.asked.memory_mb else None
