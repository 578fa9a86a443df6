"""Where a long run stands, and how it is ended. Who listens and who cancels is not the business of the work.

Context variables do not reach threads or worker processes: `track` belongs in the driver, over tasks as they complete.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
PERIOD_S = 0.1


@dataclass(frozen=True)
class Tick:
    """`done` of `total` (None: unknown) of `what`, `seconds` after its start."""

    what: str
    done: int
    total: int | None
    unit: str
    seconds: float
    note: str = ""  # what else there is to say
    before: int = 0  # how many of them were done before: they tell nothing of the rate

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0…1; None while the total is unknown."""
        return None if self.total is None else self.done / self.total if self.total else 1.0

    @property
    def rate(self) -> float:
        """Units done per second since its start; 0 before the first."""
        return (self.done - self.before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at this rate; None while the rate or the total is unknown."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate > 0 else None

    def __str__(self) -> str:
        rate = f", {self.rate:.3g} {self.unit}/s" if self.rate else ""
        left = f", {duration(self.remaining_s)} left" if self.remaining_s else ""
        more = f", {self.note}" if self.note else ""
        return f"{self.what}: {self.done} of {'?' if self.total is None else self.total} {self.unit}{more}{rate}{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> [duration(s) for s in (0.31, 75, 7260, 200000)]
    ['0.3 s', '1 min 15 s', '2 h 01 min', '2 d 07 h']
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {s:02} s"


Listener = Callable[[Tick], None]
Stop = Callable[[], bool]
_heard_by: ContextVar[tuple[tuple[Listener, ...], tuple[Stop, ...]]] = ContextVar("_heard_by", default=((), ()))


class Cancelled(BaseException):
    """The person ended the run. Not an Exception, so that no `except Exception` swallows it."""


@contextmanager
def listening(*listeners: Listener, stop: Stop = lambda: False) -> Iterator[None]:
    """Within: every `track` tells the listeners, and ends when `stop` says so."""
    before, stops = _heard_by.get()
    token = _heard_by.set(((*before, *listeners), (*stops, stop)))
    try:
        yield
    finally:
        _heard_by.reset(token)


@contextmanager
def heard_as(change: Callable[[Tick], Tick]) -> Iterator[None]:
    """Within: those who listen by now hear what `change` makes of each tick."""
    before, stops = _heard_by.get()

    def hear(tick: Tick) -> None:
        changed = change(tick)
        for listener in before:
            listener(changed)

    token = _heard_by.set(((hear,), stops))
    try:
        yield
    finally:
        _heard_by.reset(token)


def tell(tick: Tick) -> None:
    """To all who listen. Raises `Cancelled` if one has asked for the end."""
    listeners, _ = _heard_by.get()
    if cancelled():
        raise Cancelled(f"cancelled in '{tick.what}' after {tick.done} {tick.unit}")
    for listener in listeners:
        listener(tick)


def cancelled() -> bool:
    """Whether somebody who listens has asked for the end."""
    return any(stop() for stop in _heard_by.get()[1])


def track(items: Iterable[T], what: str, unit: str = "", total: int | None = None, before: int = 0) -> Iterator[T]:
    """The same items. At most ten times a second it tells how many are done, and raises `Cancelled` if asked to end.

    Of the `total`, `before` were done at another time: the bar of a run that is resumed goes on where it ended.
    """
    listeners, _ = _heard_by.get()
    total = len(items) if total is None and isinstance(items, list | tuple | range) else total
    start, told, done = time.monotonic(), float("-inf"), before

    def tell(now: float) -> None:
        for listener in listeners:
            listener(Tick(what, done, total, unit, now - start, before=before))

    for item in items:
        if (now := time.monotonic()) - told >= PERIOD_S:
            if cancelled():
                raise Cancelled(f"cancelled in '{what}' after {done} of {'?' if total is None else total} {unit}".strip())
            tell(now)
            told = now
        yield item
        done += 1
    tell(time.monotonic())
