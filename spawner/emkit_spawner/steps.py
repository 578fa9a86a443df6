"""What the user sees while a server starts: each step once, with the time since Start was pressed."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypedDict


class Event(TypedDict):
    progress: int
    message: str


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
        self._events.append({"progress": percent, "message": f"{what} ({self.elapsed_s:.1f} s)"})
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self) -> AsyncIterator[Event]:
        """Every step so far, then each as it comes; ends only when the caller stops listening."""
        shown = 0
        while True:
            more = self._more
            for event in self._events[shown:]:
                shown += 1
                yield event
            await more.wait()
