"""From the submitted job to a server that answers: what is waited for, for how long, and what is told meanwhile.

A job may wait in the queue for `queue_timeout_s`, and from its own start on its server has `start_timeout_s`. A scheduler that
does not answer ends neither. A job that is requeued goes back to the queue, and its next report counts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from emkit_jobs.scheduler import Scheduler, State, Status

from emkit_spawner.refusal import StartRefused
from emkit_spawner.steps import Steps, words

HERE = "127.0.0.1"
AT_ONCE_S = 2.0  # a job that starts within this time was never in a queue, for a person
_CONNECT_TICK_S = 0.05


@dataclass
class Limits:
    """In seconds; a queue's 0 means for ever. `tick_s`: between two looks at the job."""

    queue_timeout_s: float
    start_timeout_s: float
    tick_s: float


@dataclass
class Launch:
    """One job on its way. `answers` tells whether the server at this host and the reported port does."""

    scheduler: Scheduler
    job_id: str
    steps: Steps
    limits: Limits
    answers: Callable[[str], Awaitable[bool]]
    host: str = ""
    queued_s: float = 0.0  # how long it waited, once it has started
    _running: asyncio.Event = field(default_factory=asyncio.Event)
    _reported: asyncio.Event = field(default_factory=asyncio.Event)
    _since: float = field(default_factory=time.monotonic)  # of the present wait: in the queue, or for the server

    def reported(self, port: int) -> None:
        self.steps.add(60, f"Server is starting at port {port}")
        self._reported.set()

    async def up(self) -> str:
        """The host, once the server answers there. StartRefused when the job has ended, or has taken too long."""
        served = asyncio.create_task(self._served())
        try:
            while not served.done():
                await self._look((await self.scheduler.query_many([self.job_id]))[self.job_id])
                await asyncio.wait({served}, timeout=self.limits.tick_s)
            await served
        finally:
            served.cancel()
        return self.host

    async def _served(self) -> None:
        while True:
            await self._reported.wait()
            await self._running.wait()  # again each time: a requeued job serves at another place
            if await self.answers(self.host):
                return
            await asyncio.sleep(_CONNECT_TICK_S)

    async def _look(self, status: Status) -> None:
        if status.state is State.FINISHED:
            told = await self.scheduler.explain(self.job_id)
            raise StartRefused(f"The server's job ended before the server was up. {told}", reason="job", status_code=500)
        if status.state is State.PENDING:
            self._in_queue()
            await self._wait()
        if status.state is State.RUNNING:
            self._at_work(status.host or HERE)
        if self._running.is_set() and self._waited_s > self.limits.start_timeout_s:
            told = await self.scheduler.explain(self.job_id)
            raise StartRefused(
                f"Job {self.job_id} has run for {self._waited_s:.0f} s, but its server does not answer, and this hub waits no "
                f"longer (start_timeout). {told}",
                reason="timeout",
                status_code=504,
            )

    @property
    def _waited_s(self) -> float:
        """In the queue, or since the job has started."""
        return time.monotonic() - self._since

    async def _wait(self) -> None:
        waiting = await self.scheduler.waiting(self.job_id) if self._waited_s > AT_ONCE_S else None
        if waiting is not None:
            self.steps.wait(waiting)
        if 0 < self.limits.queue_timeout_s < self._waited_s:
            why = f" {words(waiting)}" if waiting is not None else ""
            raise StartRefused(
                f"Job {self.job_id} did not start within {self._waited_s:.0f} s, and this hub waits no longer "
                f"(queue_timeout_s).{why} Ask for less, or try again when there is more room.",
                reason="queue",
                status_code=504,
            )

    def _in_queue(self) -> None:
        if self._running.is_set():
            self.steps.add(20, "The job was put back into the queue")
            self._running.clear()
            self._reported.clear()
            self._since = time.monotonic()

    def _at_work(self, host: str) -> None:
        self.host = host
        if not self._running.is_set():
            self.queued_s = self._waited_s
            self.steps.add(40, f"Job started on {'this machine' if host == HERE else host}")
            self._running.set()
            self._since = time.monotonic()
