"""How full the file systems are. One that hangs (a server of files that is gone) holds up nobody: it is told as silent."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 2.0
LOOK_EVERY_S = 30.0


@dataclass(frozen=True)
class FileSystem:
    """`total` and `free` in bytes; None where `trouble` says why not."""

    path: Path
    total: int | None = None
    free: int | None = None
    trouble: str = ""

    @property
    def used_percent(self) -> float | None:
        """What ordinary users cannot use any more, the share kept for root included."""
        return None if not self.total or self.free is None else 100 * (1 - self.free / self.total)


class Storage:
    """The file systems of these folders, looked at every LOOK_EVERY_S at most, each in a thread of its own."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._threads = ThreadPoolExecutor(max(1, len(folders)), thread_name_prefix="file-systems")
        self._asked: dict[Path, asyncio.Future[FileSystem]] = {}
        self._seen: tuple[FileSystem, ...] = ()
        self._seen_at = float("-inf")
        self._looking = asyncio.Lock()

    async def now(self) -> tuple[FileSystem, ...]:
        """Each of the folders, in their order."""
        async with self._looking:
            if time.monotonic() - self._seen_at >= LOOK_EVERY_S:
                self._seen = tuple(await asyncio.gather(*map(self._look, self.folders)))
                self._seen_at = time.monotonic()
        return self._seen

    async def _look(self, folder: Path) -> FileSystem:
        if folder not in self._asked:  # else the thread of an earlier look still hangs there
            self._asked[folder] = asyncio.get_running_loop().run_in_executor(self._threads, _measure, folder)
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await asyncio.shield(self._asked[folder])
        except TimeoutError:
            return FileSystem(folder, trouble="does not answer")
        del self._asked[folder]
        return found


def _measure(folder: Path) -> FileSystem:
    try:
        found = shutil.disk_usage(folder)
    except OSError as error:
        return FileSystem(folder, trouble=error.strerror or str(error))
    return FileSystem(folder, found.total, found.free)
