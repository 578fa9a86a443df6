"""A sector server without sockets: what it sends when, and what it keeps until it is confirmed.

The buffer is bounded: at most `window` groups are on their way. Full, the sender waits, and says how long: that is back-pressure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emkit.stream import messages as m
from emkit.stream.plan import Plan

Read = Callable[[int], tuple[tuple[int, ...], NDArray[np.uint16]]]  # a group: the frames that are there, and their pixels (n, h, w)
PULSE_S = 0.5
AGAIN_S = 5.0  # after that an unconfirmed group is sent once more; then after twice that, at most eight times
END_EVERY_S = 1.0


@dataclass
class _OnItsWay:
    data: m.Data
    block: NDArray[np.uint16]
    sent_at: float
    tries: int


class Sending:
    """One sector of one scan."""

    def __init__(
        self, plan: Plan, sector: int, read: Read, window: int = 16, rate: float | None = None, again_s: float = AGAIN_S
    ) -> None:
        self.plan, self.sector, self.read, self.window, self.rate, self.again_s = plan, sector, read, window, rate, again_s
        self.closed: m.Closed | None = None
        self.resent = 0
        self.waited_s = 0.0
        self._next, self._parts = 0, 0
        self._way: dict[int, _OnItsWay] = {}
        self._urgent: set[int] = set()
        self._began: float | None = None
        self._epoch: str | None = None
        self._pulse_at = self._end_at = float("-inf")
        self._full_since: float | None = None

    @property
    def sent_all(self) -> bool:
        """Everything is confirmed."""
        return self._next == self.plan.groups and not self._way

    @property
    def confirmed(self) -> int:
        """Groups."""
        return self._next - len(self._way)

    def hear(self, message: m.Message) -> None:
        match message:
            case m.Confirm(scan=self.plan.scan, group=group):
                self._way.pop(group, None)
                self._urgent.discard(group)
            case m.Again(scan=self.plan.scan, groups=groups):
                self._urgent |= set(groups or self._way) & self._way.keys()
            case m.Welcome(epoch=epoch) if epoch != self._epoch:  # one that knows nothing: begin anew with what is not confirmed
                self._epoch, self._began = epoch, None
                self._urgent |= self._way.keys()
            case m.Closed(scan=self.plan.scan):
                self.closed = message
                self._way.clear()

    def say(self, now: float) -> list[tuple[m.Message, NDArray[np.uint16] | None]]:
        """What is due now. Called often: it returns a few blocks at most."""
        if self.closed:
            return []
        said: list[tuple[m.Message, NDArray[np.uint16] | None]] = []
        if self._began is None:
            self._began = now if self.rate is None or self._next == 0 else now - self._next * self.plan.batch / self.rate
            said.append((m.Begin(plan=self.plan, sector=self.sector), None))
        overdue = [g for g, one in self._way.items() if now - one.sent_at > self.again_s * min(2**one.tries, 8)]
        for group in (sorted(self._urgent) or overdue)[:4]:
            one = self._way[group]
            one.sent_at, one.tries = now, one.tries + (group not in self._urgent)
            self._urgent.discard(group)
            self.resent += 1
            said.append((one.data, one.block))
        self._wait(now)
        if self._next < self.plan.groups and len(self._way) < self.window and self._due(now):
            frames, block = self.read(self._next)
            data = m.Data(scan=self.plan.scan, sector=self.sector, group=self._next, frames=frames)
            self._way[self._next] = _OnItsWay(data, block, now, 0)
            self._next, self._parts = self._next + 1, self._parts + len(frames)
            said.append((data, block))
        if self.sent_all and now - self._end_at > END_EVERY_S:
            self._end_at = now
            said.append((m.End(scan=self.plan.scan, sector=self.sector, parts=self._parts, waited_s=self.waited_s), None))
        if now - self._pulse_at > PULSE_S:
            self._pulse_at = now
            said.append((m.Pulse(scan=self.plan.scan, sector=self.sector, waited_s=self.waited_s), None))
        return said

    def _due(self, now: float) -> bool:
        return self.rate is None or self._began is None or now - self._began >= self._next * self.plan.batch / self.rate

    def _wait(self, now: float) -> None:
        """Add up the time in which a group was due and the window full."""
        if self._full_since is not None:
            self.waited_s += now - self._full_since
        full = self._next < self.plan.groups and len(self._way) >= self.window and self._due(now)
        self._full_since = now if full else None
