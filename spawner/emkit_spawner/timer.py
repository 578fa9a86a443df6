"""A timer for the hub's looks at its servers that no clock can stop.

JupyterHub's own (tornado's PeriodicCallback) goes by the time of day: when that jumps back by an hour, it looks at no server for an
hour, and does not notice those that end.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable


class Timer:
    """Awaits `call` every `every_s` seconds, more or less by the part `jitter` of it, until `stop`; never twice at a time."""

    def __init__(self, call: Callable[[], Awaitable[object]], every_s: float, jitter: float = 0.0) -> None:
        self._call, self._every_s, self._jitter = call, every_s, jitter
        self._stopped = False
        self._wait()

    def stop(self) -> None:
        """No more calls; one that is being awaited comes to its end."""
        self._stopped = True
        self._next.cancel()

    def _wait(self) -> None:
        part = 1 + self._jitter * (random.random() - 0.5)
        self._next = asyncio.get_running_loop().call_later(self._every_s * part, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._once())

    async def _once(self) -> None:
        try:
            await self._call()
        finally:
            if not self._stopped:
                self._wait()
