"""One question for everybody: its answer is kept for a while, and whoever comes meanwhile gets the same."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from emkit_jobs.scheduler import SchedulerError

T = TypeVar("T")
MOST_KEYS = 500


class Shared(Generic[T]):
    """What `ask` answers, asked anew at most every `keep_s`. A SchedulerError becomes `silence`, beside the last good answer."""

    def __init__(self, ask: Callable[[], Awaitable[T]], keep_s: float) -> None:
        self._ask, self._keep_s = ask, keep_s
        self._task: asyncio.Task[None] | None = None
        self._fresh_until = float("-inf")  # on the monotonic clock
        self.answer: T | None = None
        self.asked_at: float | None = None  # of the answer, POSIX seconds; None: there was none yet
        self.silence = ""  # why the last question has no answer

    @property
    def old(self) -> bool:
        return self._task is None and time.monotonic() >= self._fresh_until

    async def get(self, patience_s: float | None = None) -> T | None:
        """The answer; after `patience_s` the last one, while the question goes on for those who come later."""
        if self.old:
            self._fresh_until = float("inf")
            self._task = asyncio.create_task(self._refresh())
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_s)
        return self.answer

    async def _refresh(self) -> None:
        began = time.time()
        try:
            self.answer, self.asked_at, self.silence = await self._ask(), began, ""
        except SchedulerError as error:
            self.silence = str(error)
        finally:
            self._task = None
            # unless it was forgotten while the question was under way
            self._fresh_until = min(self._fresh_until, time.monotonic() + self._keep_s)

    def forget(self) -> None:
        """The answer is out of date, and that of a question under way may be."""
        self._fresh_until = float("-inf")


class SharedByKey(Generic[T]):
    """A shared question for each key; those that are no longer fresh make room for new ones."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._kept: dict[Hashable, Shared[T]] = {}

    def of(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> Shared[T]:
        if key not in self._kept:
            if len(self._kept) >= MOST_KEYS:
                self._kept = {known: shared for known, shared in self._kept.items() if not shared.old}
            self._kept[key] = Shared(ask, self._keep_s)
        return self._kept[key]
