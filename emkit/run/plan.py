"""What a run needs, told before it works, and the gate that refuses what cannot fit."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from emkit.errors import ResourceError
from emkit.provenance import size_of
from emkit.run.machine import status
from emkit.run.output import unfinished


@dataclass(frozen=True)
class Load:
    """A stage, as planned: its tasks, the bytes by which a worker grows that does one, the seconds of one core that one takes.

    `together`: the tasks wait for each other, so that as many workers are needed.
    """

    tasks: int
    task_bytes: int = 0
    task_s: float = 0.0
    together: bool = False


@dataclass(frozen=True)
class Plan:
    """Peak memory, new bytes on disk and wall time, from headers only. The first two are refused on, the last is told.

    A step yields what it needs itself, and beside that the loads of its stages. `spread` adds both up for a number of workers.
    """

    memory_bytes: int
    disk_bytes: int = 0
    seconds: float = 0.0
    stages: tuple[Load, ...] = ()
    workers: int = 0
    where: str = field(default="", compare=False, repr=False)  # it would run, in words, once that is settled
    lacking: str = field(default="", compare=False, repr=False)  # why it cannot run there, in numbers

    def spread(self, workers: int) -> "Plan":
        """The whole, with so many tasks at once. The k-th worker has work in the stages that have k tasks at least.

        >>> Plan(10, stages=(Load(tasks=9, task_bytes=100, task_s=1.0), Load(tasks=1, task_bytes=300))).spread(2)
        Plan(memory_bytes=410, disk_bytes=0, seconds=5.0, stages=(), workers=2)
        """
        grown = (max((load.task_bytes for load in self.stages if load.tasks >= k), default=0) for k in range(1, workers + 1))
        seconds = sum(-(-load.tasks // workers) * load.task_s for load in self.stages)
        return Plan(self.memory_bytes + sum(grown), self.disk_bytes, self.seconds + seconds, workers=workers)

    @property
    def least(self) -> int:
        """How many tasks must be done at once."""
        return max((load.tasks for load in self.stages if load.together), default=1)

    def fitted(self, cores: int, memory_bytes: int) -> "Plan":
        """The whole, with as many tasks at once as there are cores, and memory; no fewer than must be."""
        fitting = (self.spread(n) for n in range(cores, self.least - 1, -1))
        return next((plan for plan in fitting if plan.memory_bytes <= memory_bytes), self.spread(self.least))

    def __str__(self) -> str:
        told = f"{in_words(self.memory_bytes)} memory, {in_words(self.disk_bytes)} disk, {self.seconds:,.1f} s"
        return told + (f", {self.workers} at once" if self.workers > 1 else "")


def in_words(size: int) -> str:
    """A number of bytes as people say it: 1,234 MB."""
    return f"{size / 1e6:,.1f} MB" if size < 1e8 else f"{size / 1e6:,.0f} MB"


def gate(plan: Plan, out: Path | None) -> None:
    """Refuse a plan that does not fit into its place, or onto the disk of its output."""
    if plan.lacking:
        raise ResourceError(plan.lacking)
    begun = size_of(unfinished(out)) if out else 0  # goes on, or makes room
    if out and plan.disk_bytes > (free := shutil.disk_usage(out.absolute().parent).free + begun):
        raise ResourceError(
            f"The run writes {in_words(plan.disk_bytes)} to {out}; {in_words(free)} are free there. Make room, or write elsewhere."
        )


class PeakMemory:
    """Bytes by which this process grew at most since the start of the measurement."""

    def __init__(self) -> None:
        with suppress(PermissionError):  # a process that nobody may trace cannot either; then an older peak may be told
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark, which else never falls
        self.before = status("VmRSS")

    def bytes(self) -> int:
        return max(0, status("VmHWM") - self.before)
