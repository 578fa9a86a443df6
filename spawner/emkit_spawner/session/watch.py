"""What the page shows of a session: the hub's record of the job, the job's own use, the site's settings."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from emkit_jobs.scheduler import JOB_VARIABLE
from traitlets import Float, List
from traitlets.config import LoggingConfigurable

from emkit_spawner import rescue
from emkit_spawner.session.hub import Hub, HubError
from emkit_spawner.session.usage import MB, JobUsage, Sample, cpus_between

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """The hub's last answer to one question, asked again when it is older than wanted. A silent hub costs news, nothing else."""

    def __init__(self, question: Callable[[], Awaitable[Answer]], before: Answer) -> None:
        self._question, self.answer, self.silence = question, before, ""
        self._asked_at = self._answered_at = float("-inf")

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._answered_at

    async def refresh(self, older_than_s: float) -> None:
        if time.monotonic() - self._asked_at < older_than_s:
            return
        try:
            self.answer, self.silence = await self._question(), ""
            self._answered_at = time.monotonic()
        except HubError as error:
            self.silence = str(error)
        self._asked_at = time.monotonic()


class SessionWatch(LoggingConfigurable):
    """One per server. Nobody looking costs nothing: the hub and /proc are asked when a page asks, and never more often than set."""

    warn_at_s = List(Float(), [900.0, 300.0], help="Warn when so many seconds are left; the last of them with a dialog.").tag(
        config=True
    )
    memory_warning = Float(0.9, help="Warn when so much of the memory that was asked for is in use (1 is all of it).").tag(
        config=True
    )
    page_s = Float(10.0, help="Seconds between two questions of a page that is in sight.").tag(config=True)
    hub_s = Float(60.0, help="Seconds for which the hub's answer about this job serves all pages.").tag(config=True)
    measure_s = Float(5.0, help="Seconds for which one measurement of memory and processors serves all pages.").tag(config=True)
    announcements_s = Float(300.0, help="Seconds between two questions for announcements.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hub = Hub()
        self._record: Remembered[dict[str, Any]] = Remembered(self._session, {})
        self._announcements: Remembered[list[dict[str, Any]]] = Remembered(self.hub.announcements, [])
        self._asked: dict[str, Any] = {}  # what the job asked for, once it is known
        self._usage = JobUsage(os.environ[JOB_VARIABLE])
        self._sample: Sample | None = None
        self._measured_at = float("-inf")
        self._cpus: float | None = None
        self._one_at_a_time = asyncio.Lock()

    async def state(self) -> dict[str, Any]:
        """For the page: times in seconds, memory in MB. What is not known is null."""
        async with self._one_at_a_time:
            await asyncio.gather(
                self._record.refresh(self.hub_s), self._announcements.refresh(self.announcements_s), self._measure()
            )
        record = self._record.answer
        ends_at = record.get("ends_at")
        return {
            "job": record.get("job_id"),
            "profile": record.get("profile"),
            # by the hub's clock, which may differ from this node's and from the browser's
            "left_s": None if ends_at is None else ends_at - record["now"] - self._record.age_s,
            "memory_mb": None if self._sample is None else self._sample.memory / MB,
            "memory_limit_mb": self._asked.get("memory_mb"),
            "cpus": self._cpus,
            "cpus_limit": self._asked.get("cpus"),
            "rescue": os.environ.get(rescue.REASON, ""),
            "hub_silence": self._record.silence,
            "announcements": self._announcements.answer,
            "page_s": self.page_s,
            "warn_at_s": sorted(self.warn_at_s, reverse=True),
            "memory_warning": self.memory_warning,
        }

    async def _session(self) -> dict[str, Any]:
        """A job's request does not change, and the rest costs the hub nothing: the usage is asked for until it is told once."""
        record = await self.hub.session(usage=not self._asked)
        if record.get("usage"):
            self._asked = record["usage"]["asked"]
        return record

    async def _measure(self) -> None:
        seconds = time.monotonic() - self._measured_at
        if seconds < self.measure_s:
            return
        before, self._sample = self._sample, await asyncio.to_thread(self._usage.sample)
        self._measured_at = time.monotonic()
        self._cpus = None if before is None else cpus_between(before, self._sample, seconds)
