"""Which processes of this machine belong to a job, read from /proc.

A process is known by its number and its start time together: numbers are used again. It belongs to a job if its environment
carries the job's name (`JOB_VARIABLE`, a name used once) or if it is in the session that the job's first process leads.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emkit_jobs.scheduler import JOB_VARIABLE

PROC = Path("/proc")
_SESSION, _START = 3, 19  # fields of /proc/PID/stat, counted from the state on


def boot_id() -> str:
    """Start times count from boot, so they identify a process only within one."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with its number."""

    pid: int
    start: str
    boot: str

    @classmethod
    def read(cls, record: Path) -> "Identity | None":
        """What the job's first process wrote about itself: "PID START BOOT"; None if it has not yet."""
        try:
            pid, start, boot = record.read_text().split()
        except FileNotFoundError:
            return None
        return cls(int(pid), start, boot)

    def holds_number(self) -> bool:
        """False when its number is free or belongs to another process by now."""
        fields = _stat(self.pid)
        return self.boot == boot_id() and fields is not None and fields[_START] == self.start

    def alive(self) -> bool:
        fields = _stat(self.pid)
        return self.holds_number() and fields is not None and fields[0] not in "ZX"

    def session(self) -> set[int]:
        """The living processes of its session. A number in use for a session is not given away: a stranger under it ends it."""
        if self.boot != boot_id() or (_stat(self.pid) is not None and not self.holds_number()):
            return set()
        return {pid for pid, fields in _living() if int(fields[_SESSION]) == self.pid}


def _stat(pid: int) -> list[str] | None:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _living() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir(PROC):
        if name.isdigit() and (fields := _stat(int(name))) is not None and fields[0] not in "ZX":
            yield int(name), fields


def carrying(job: str) -> set[int]:
    """The living processes whose environment names `job`; those of other accounts cannot be read and are not ours."""
    mark = f"{JOB_VARIABLE}={job}".encode()
    found = set()
    for pid, _ in _living():
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if mark in environment.split(b"\0"):
            found.add(pid)
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process; one that has gone meanwhile is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
