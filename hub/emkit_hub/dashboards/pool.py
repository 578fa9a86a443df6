"""Warm kernels: each has run its dashboard and waits for the one guest it will serve.

All decisions are made without waiting, so no two requests can both take the last place. Guests who found no warm kernel
come first; then pools are filled, the poorest dashboard first, while nobody is arriving.
"""

import asyncio
import logging
from collections import deque

from emkit_hub.dashboards.gallery import Dashboard, Gallery
from emkit_hub.dashboards.kernels import Kernels
from emkit_hub.dashboards.places import Places
from emkit_hub.dashboards.rendering import RendererFactory, Rendering
from emkit_hub.dashboards.settings import DashboardSettings

QUIET_S = 1.0
RETRY_S = 60.0

log = logging.getLogger(__name__)


class Pool:
    """The warm kernels, those on their way, and the guests' kernels."""

    def __init__(
        self, settings: DashboardSettings, gallery: Gallery, places: Places, kernels: Kernels, renderer: RendererFactory
    ) -> None:
        self.places = places
        self.taken: dict[str, Rendering] = {}
        self.warm: list[Rendering] = []
        self.reasons: dict[str, str] = {}
        self._settings = settings
        self._gallery = gallery
        self._kernels = kernels
        self._renderer = renderer
        self._wanted: deque[Rendering] = deque()
        self._starting: set[Rendering] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._failed_s: dict[str, float] = {}
        self._last_claim_s = float("-inf")

    @property
    def total(self) -> int:
        """Kernels there are or will be."""
        return len(self.warm) + len(self.taken)

    def take(self, dashboard: Dashboard, guest: str) -> Rendering:
        """A kernel for this guest, warm if there is one; raises Full when all places are taken."""
        for kernel_id in self.places.admit(guest):
            self.drop(kernel_id, "you opened another dashboard")
        rendering = next((one for one in self.warm if one.dashboard == dashboard), None)
        if rendering is not None:
            self.warm.remove(rendering)
        else:
            if self.total >= self._settings.cap:
                self.discard(self.warm[-1])
            rendering = Rendering(dashboard, self._kernels, self._renderer)
            self._wanted.append(rendering)
        self.places.claim(rendering.kernel_id, guest, dashboard.name)
        self.taken[rendering.kernel_id] = rendering
        self._last_claim_s = self.places.clock()
        self.fill()
        return rendering

    def drop(self, kernel_id: str, reason: str) -> None:
        """Take a kernel from its guest; the page asks for the reason and shows it."""
        rendering = self.taken.pop(kernel_id, None)
        claim = self.places.release(kernel_id)
        if rendering is None or claim is None:
            return
        log.info("%s gives back %s (%s): %s", claim.guest, claim.dashboard, kernel_id, reason)
        self.reasons[kernel_id] = reason
        while len(self.reasons) > 10 * self._settings.cap:
            self.reasons.pop(next(iter(self.reasons)))
        self.discard(rendering)

    def fill(self) -> None:
        """Start what should be started now; called after every change and by the clock."""
        current = self._gallery.read()
        for stale in [one for one in self.warm if current.get(one.dashboard.name) != one.dashboard]:
            self.discard(stale)
        while self._wanted and len(self._starting) < self._settings.starts:
            self._start(self._wanted.popleft())
        if self._wanted or self.places.clock() - self._last_claim_s < QUIET_S:
            return
        while len(self._starting) < self._settings.starts and self.total < self._settings.cap:
            poorest = self._poorest(list(current.values()))
            if poorest is None:
                return
            rendering = Rendering(poorest, self._kernels, self._renderer)
            self.warm.append(rendering)
            self._start(rendering)

    async def close(self) -> None:
        """Give all kernels back."""
        for rendering in [*self.warm, *self.taken.values()]:
            self.discard(rendering)
        self.warm.clear()
        self.taken.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def _poorest(self, dashboards: list[Dashboard]) -> Dashboard | None:
        """The dashboard with the fewest warm kernels, if it has fewer than it should and did not fail just now."""
        now = self.places.clock()
        counts = {one: sum(warm.dashboard == one for warm in self.warm) for one in dashboards}
        lacking = [
            one
            for one in dashboards
            if counts[one] < self._settings.pool and now - self._failed_s.get(one.name, float("-inf")) > RETRY_S
        ]
        return min(lacking, key=lambda one: counts[one], default=None)

    def _start(self, rendering: Rendering) -> None:
        self._starting.add(rendering)
        rendering.start(self._finished)

    def _finished(self, rendering: Rendering, error: BaseException | None) -> None:
        self._starting.discard(rendering)
        if error is not None:
            log.error("%s could not be run: %r", rendering.dashboard.path, error)
            self._failed_s[rendering.dashboard.name] = self.places.clock()
            if rendering in self.warm:
                self.discard(rendering)
            else:
                self.drop(rendering.kernel_id, "it could not be started")
        elif rendering in self.warm:
            log.info(
                "%s is warm: %d of %d",
                rendering.dashboard.name,
                sum(rendering.dashboard == one.dashboard for one in self.warm),
                self._settings.pool,
            )
        self.fill()

    def discard(self, rendering: Rendering) -> None:
        """End a kernel that no guest holds, in the background."""
        if rendering in self.warm:
            self.warm.remove(rendering)
        if rendering in self._wanted:
            self._wanted.remove(rendering)
        task = asyncio.get_running_loop().create_task(rendering.close())
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a kernel could not be ended cleanly: %r", task.exception())
