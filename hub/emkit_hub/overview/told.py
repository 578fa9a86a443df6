"""What the hub tells of all its users (`GET api/emkit/system`), as records. Times are POSIX seconds; None is "not known".

Fields that a newer hub adds are passed over: this service is started by the hub itself, but may meet another spawner.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Asked(_Told):
    """What a job asked for."""

    cpus: float | None = None
    memory_mb: float | None = None
    gpus: float | None = None
    runtime_s: float | None = None


class Usage(_Told):
    """What a job used so far, or in all; `advice`: for the next request, in words."""

    elapsed_s: float | None = None
    cpu_s: float | None = None
    memory_peak_mb: float | None = None
    asked: Asked = Asked()
    ended_at: float | None = None
    advice: str = ""

    @property
    def cpu_share(self) -> float | None:
        """Processor time used, of the processor time that was there: 0 to 1."""
        if not self.cpu_s or not self.elapsed_s or not self.asked.cpus:
            return None
        return min(1.0, self.cpu_s / (self.elapsed_s * self.asked.cpus))

    @property
    def memory_share(self) -> float | None:
        """The peak, of the memory asked for."""
        return None if not self.memory_peak_mb or not self.asked.memory_mb else self.memory_peak_mb / self.asked.memory_mb


class Waiting(_Told):
    """Why a job waits, and until when it is expected to."""

    reason: str = ""
    position: int | None = None
    expected_at: float | None = None


class Session(_Told):
    """One server of one user; `server` is "" for the one without a name."""

    user: str
    server: str = ""
    state: str
    job_id: str = ""
    profile: str = ""
    node: str = ""
    started_at: float | None = None
    ends_at: float | None = None
    waiting: Waiting | None = None
    usage: Usage | None = None
    past: tuple[Usage, ...] = ()
    error: str = ""

    @property
    def what(self) -> str:
        """What it is for, in a word."""
        return self.server or "JupyterLab"


class Free(_Told):
    """What a partition has free now, and in all nodes that are up."""

    nodes: int
    nodes_up: int
    cpus: int
    cpus_up: int
    gpus: int = 0
    gpus_up: int = 0


class Queue(_Told):
    """Jobs of everybody; `silence`: why the scheduler has told nothing since `asked_at`, or ""."""

    pending: int
    running: int
    asked_at: float | None = None
    silence: str = ""


class Orphan(_Told):
    """A job of this hub that no server owns."""

    job_id: str
    name: str = ""


class Trouble(_Told):
    """An error that the hub met lately."""

    at: float | None = None
    text: str


class System(_Told):
    """Everything, of everybody: never shown whole to a user (see `view`)."""

    free: Mapping[str, Free] = {}
    queue: Queue | None = None
    sessions: tuple[Session, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    errors: tuple[Trouble, ...] = ()

    @classmethod
    def read(cls, answer: Any) -> "System":
        """The hub's JSON; ValidationError when it is something else."""
        return cls.model_validate(answer)
