"""The table that `scripts/up --check` prints: a row for each door."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from emkit_jobs.scheduler import SchedulerError
from playwright.sync_api import Error

from emkit_hub import proxy
from emkit_hub.cluster import ClusterError
from emkit_hub.running import HubError
from emkit_hub.visitor import Refused


class CheckFailed(RuntimeError):
    """A door does not open: what was seen instead."""


# how a door says that it does not open
CLOSED = (
    HubError,
    ClusterError,
    SchedulerError,
    proxy.ProxyError,
    Refused,
    CheckFailed,
    AssertionError,
    Error,
    OSError,
    ValueError,
)


@dataclass
class Table:
    """One row for each door: whether it opened, how long it took, what was seen."""

    rows: list[tuple[str, str, float, str]] = field(default_factory=list)

    @contextmanager
    def row(self, door: str) -> Iterator[Callable[[str], None]]:
        """Times what is done within; it says what it saw. What it raises is in the table too."""
        seen: list[str] = []
        began = time.monotonic()
        try:
            yield seen.append
        except CLOSED as error:
            self._add(door, "FAILED", began, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
            raise
        self._add(door, "ok", began, ", ".join(seen))

    def _add(self, door: str, state: str, began: float, seen: str) -> None:
        self.rows.append((door, state, time.monotonic() - began, seen))
        print(f"  {door:<38} {state:<7} {self.rows[-1][2]:6.1f} s  {seen}", flush=True)
