"""From a submitted job to a kernel that listens: what is waited for, for how long, and what its user is told meanwhile."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emkit_jobs.scheduler import Jobs, Scheduler, State, Status
from tornado import web

from emkit_spawner.kernels import story

WATCH_S, WATCH_LATER_S = 0.02, 0.2  # between two looks at the launcher's file
ATTENTIVE_S = 20.0  # a job that has not begun by then is one that waits
LOOK_S, LOOK_LATER_S = 1.0, 10.0  # between two questions to the scheduler


class KernelNotStarted(web.HTTPError):
    """Why there is no kernel. As text the reason alone, which is what JupyterLab shows."""

    def __str__(self) -> str:
        return str(self.log_message)


async def look(jobs: Jobs, job_id: str) -> Status:
    return (await jobs.query_many([job_id]))[job_id]


async def explain(jobs: Jobs, job_id: str, what: str) -> str:
    """`what` has happened, with the scheduler's reason and the end of the job's log."""
    return f"{what} {await jobs.explain(job_id)}"


@dataclass
class Arrival:
    """One start of a kernel, in place or with a new job.

    `asked_at`: POSIX seconds of the job's submission. `report`: what the launcher says of this start, {} before it says anything.
    `deleted`: whether Jupyter has given the kernel up. `tell`: hands a state and its words to the user.
    """

    jobs: Scheduler
    job_id: str
    asked_at: float
    queue_timeout_s: float
    start_timeout_s: float
    report: Callable[[], dict[str, Any]]
    deleted: Callable[[], bool]
    tell: Callable[..., None]
    _began: float = field(default_factory=time.monotonic)
    _running_since: float = 0.0

    async def outcome(self) -> dict[str, Any] | str:
        """The launcher's report of a kernel that listens; a text: why there will be none. KernelNotStarted when it is deleted."""
        reported, over = asyncio.create_task(self._reported()), asyncio.create_task(self._over())
        try:
            done, _ = await asyncio.wait({reported, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reported.cancel()
            over.cancel()
        if reported in done and (status := reported.result())["state"] == "running":
            return status
        return over.result() if over in done else await explain(self.jobs, self.job_id, "The kernel ended before it listened.")

    @property
    def _waits(self) -> bool:
        """For long: it is looked after less often then."""
        return not self._running_since and time.monotonic() - self._began >= ATTENTIVE_S

    async def _reported(self) -> dict[str, Any]:
        """Returns when the launcher has something to say of this start."""
        while not (status := self.report()):
            if self.deleted():
                raise KernelNotStarted(410, "The kernel was deleted while it waited.")
            await asyncio.sleep(WATCH_LATER_S if self._waits else WATCH_S)
        return status

    async def _over(self) -> str:
        """Returns when this start cannot succeed any more: why. Meanwhile the user is told what it waits for."""
        while True:  # a job that starts at once needs its processors more than we need an answer: we ask after a moment
            await asyncio.sleep(LOOK_LATER_S if self._waits else LOOK_S)
            seen, now = await look(self.jobs, self.job_id), time.monotonic()
            why = ""
            if seen.state is State.FINISHED:
                why = "The kernel did not start."
            elif seen.state is State.RUNNING:
                self._running_since = self._running_since or now
                self.tell("starting", f"Job {self.job_id} runs on {seen.host}: the kernel is starting.")
                if now - self._running_since > self.start_timeout_s:
                    why = f"The kernel does not listen {self.start_timeout_s:.0f} s after its job began."
            elif seen.state is State.PENDING:
                waiting = await self.jobs.waiting(self.job_id)
                self.tell("queued", story.words(self.job_id, waiting), waiting=waiting)
                if time.time() - self.asked_at > self.queue_timeout_s:
                    why = f"The kernel's job has waited for {self.queue_timeout_s / 3600:.3g} h."
            else:
                self.tell("unknown", f"The scheduler does not answer; job {self.job_id} is kept. It said: {seen.reason}")
            if why:
                return await explain(self.jobs, self.job_id, why)
