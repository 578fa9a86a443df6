"""What the user sees while a server starts: each step once, with the time since Start was pressed."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from emkit_jobs.scheduler import Waiting


class Event(TypedDict):
    progress: int
    message: str
    waiting: NotRequired[dict[str, Any]]  # as `emkit_jobs.scheduler.Waiting`: the job is in the queue


class Steps:
    """The steps of one start; any number of pages may follow, from the first step on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._events: list[Event] = []
        self._more = asyncio.Event()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def events(self) -> list[Event]:
        return list(self._events)

    def add(self, percent: int, what: str) -> None:
        self._show({"progress": percent, "message": f"{what} ({self.elapsed_s:.1f} s)"})

    def wait(self, waiting: Waiting) -> None:
        """The job is in the queue. Shown when it differs from what is shown, in its place: an hour's queue is one line."""
        event: Event = {"progress": 30, "message": words(waiting), "waiting": asdict(waiting)}
        last = self._events[-1] if self._events else None
        if last is not None and "waiting" in last:
            if last["message"] == event["message"]:
                return
            self._events.pop()
        self._show(event)

    def _show(self, event: Event) -> None:
        self._events.append(event)
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self) -> AsyncIterator[Event]:
        """Every step so far, then each as it comes; ends only when the caller stops listening."""
        shown: list[Event] = []
        while True:
            more = self._more
            for place, event in enumerate(self.events):
                if place >= len(shown) or shown[place] is not event:
                    shown[place:] = [event]
                    yield event
            await more.wait()


def words(waiting: Waiting) -> str:
    """One line about a wait.

    >>> words(Waiting("all nodes are in use", position=2, expected_at=None, asked_at=0.0))
    'In the queue, number 2: all nodes are in use. When it starts is not known yet.'
    """
    place = f", number {waiting.position}" if waiting.position is not None else ""
    when = "When it starts is not known yet."
    if waiting.expected_at is not None:
        when = f"Expected to start at {time.strftime('%H:%M', time.localtime(waiting.expected_at))} (the hub's clock)."
    return f"In the queue{place}: {waiting.reason}. {when}"
