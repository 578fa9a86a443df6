"""The round every few seconds: which kernels are given back, and why."""

import asyncio
import logging
import os
import resource
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server._tz import utcnow

from emkit_hub.dashboards.kernels import ForkServer, Kernels
from emkit_hub.dashboards.places import Claim
from emkit_hub.dashboards.pool import Pool
from emkit_hub.dashboards.settings import DashboardSettings

ROUND_S = 2.0
MOST_FAILURES = 5
log = logging.getLogger(__name__)
_PAGE = resource.getpagesize()


@dataclass
class Usage:
    """What the processes of one session use: bytes of resident memory, number of processes."""

    memory: int = 0
    processes: int = 0


def usage_by_session() -> dict[int, Usage]:
    """One pass over /proc: a kernel leads its session, and what it starts belongs to it."""
    usage: dict[int, Usage] = defaultdict(Usage)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            session = usage[int(fields[3])]
            session.processes += 1
            session.memory += int(fields[21]) * _PAGE
    return usage


def folder_bytes(folder: Path) -> int:
    """Bytes in the files below `folder`, links not followed."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:
                continue  # removed meanwhile
    return total


def broken_rule(settings: DashboardSettings, claim: Claim, now_s: float, idle_s: float, used: Usage, disk: int) -> str:
    """Why a guest's kernel must go, in words for the guest; empty if it may stay."""
    held_s = now_s - claim.since_s
    alone_s = now_s - claim.left_s if claim.connections == 0 and claim.left_s is not None else 0.0
    unseen_s = held_s if claim.connections == 0 and claim.left_s is None else 0.0
    rules = (
        (used.memory > settings.memory_gb * 2**30, f"it used more than {settings.memory_gb:g} GiB of memory"),
        (used.processes > settings.processes, f"it started more than {settings.processes} processes"),
        (disk > settings.disk_gb * 2**30, f"it wrote more than {settings.disk_gb:g} GiB"),
        (alone_s > settings.closed_s, "its page was closed or lost the connection"),
        (unseen_s > settings.unseen_s, "its page never connected"),
        (min(idle_s, held_s) > settings.cull_s, f"nothing happened in it for {settings.cull_s / 60:.0f} minutes"),
        (held_s > settings.age_s, f"it was open for {settings.age_s / 3600:.0f} hours"),
    )
    return next((reason for broken, reason in rules if broken), "")


class Warden:
    """Gives back what is closed, idle, too old, too big or dead, then fills the pool."""

    def __init__(self, settings: DashboardSettings, pool: Pool, kernels: Kernels, server: ForkServer) -> None:
        self._settings = settings
        self._pool = pool
        self._kernels = kernels
        self._server = server

    async def run(self) -> None:
        """Until the fork server ends, and every kernel with it. A failed round is told and followed by another, a few times."""
        failed = 0
        while not self._server.ended():
            done = asyncio.ensure_future(self.round())
            await asyncio.wait([done])
            error = done.exception()
            failed = failed + 1 if error else 0
            if error:
                log.error("the round of the warden failed, %d of %d", failed, MOST_FAILURES, exc_info=error)
            if error and failed == MOST_FAILURES:
                raise error
            await asyncio.sleep(ROUND_S)
        log.error("the fork server has ended, and with it all kernels")

    async def round(self) -> None:
        """One round."""
        usage = await asyncio.to_thread(usage_by_session)
        folders = {kernel: folder for kernel, folder in self._kernels.folders.items() if kernel in self._pool.taken}
        sizes = await asyncio.to_thread(lambda: {kernel: folder_bytes(folder) for kernel, folder in folders.items()})
        for kernel_id in list(self._pool.taken):
            reason = await self._reason(kernel_id, usage, sizes.get(kernel_id, 0))
            if reason:
                self._pool.drop(kernel_id, reason)
        for rendering in list(self._pool.warm):
            if rendering.finished and not await self._alive(rendering.kernel_id):
                self._pool.discard(rendering)
        self._pool.fill()

    async def _alive(self, kernel_id: str) -> bool:
        return kernel_id in self._kernels and bool(await self._kernel(kernel_id).is_alive())

    def _kernel(self, kernel_id: str) -> Any:
        """The kernel's manager; jupyter_server gives it attributes that its class does not declare."""
        return self._kernels.get_kernel(kernel_id)

    async def _reason(self, kernel_id: str, usage: dict[int, Usage], disk: int) -> str:
        """Why this kernel must go; empty if it may stay."""
        claim, rendering = self._pool.places.claims.get(kernel_id), self._pool.taken.get(kernel_id)
        if claim is None or rendering is None:
            return ""  # given back while the round was at another one
        if rendering.finished and not await self._alive(kernel_id):
            return "its kernel ended: it used too much memory or processor time, or failed"
        session = self._kernels.sessions.get(kernel_id)
        if session is None:
            return ""  # still on its way
        used = usage.get(session, Usage())
        idle_s = (utcnow() - self._kernel(kernel_id).last_activity).total_seconds()
        return broken_rule(self._settings, claim, self._pool.places.clock(), idle_s, used, disk)
