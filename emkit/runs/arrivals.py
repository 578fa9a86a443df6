"""What comes into a folder that somebody else writes: which files or folders are there, and since when each has been still.

The folder is looked at again and again, since no shared file system tells of what another machine writes. Nothing is taken
from clocks but how long this process has seen an item unchanged: the writer's clock may be wrong.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Self

from emkit.provenance import fingerprint
from emkit.runs.gathering import Gathering

LOOK_S = 0.2
OLD_S = 60.0  # what has been still so long is looked at less often
LOOK_AT_OLD_S = 5.0
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", "~")
OWN = ("unfinished-", "replaced-")  # how emkit names what it writes beside an output


@dataclass(frozen=True)
class Arrival:
    """An item as it was seen last; `seen` is another for another size, time or number of files."""

    path: Path
    seen: str
    since_s: float  # monotonic
    lacks: int = 0  # files, until a folder is whole


def is_item(name: str, pattern: str) -> bool:
    """Whether a name is one to follow: of the pattern, and not a hidden or unfinished file's."""
    return fnmatch(name, pattern) and not name.startswith((".", *OWN)) and not name.endswith(UNFINISHED)


def look_of(path: Path) -> str:
    """Equal for the same names, sizes and times of an item's files."""
    return hashlib.sha256(json.dumps(fingerprint(path)).encode()).hexdigest()[:16]


@dataclass
class Arrivals:
    """Within: a thread looks at the folder every LOOK_S."""

    folder: Path
    pattern: str
    folders: bool  # whether items are folders
    settle_s: float
    files: int = 0  # that a folder holds at least, once it is whole
    of: str = "*"  # which of its files count
    gathering: Gathering | None = None  # fills the folder
    clock: Callable[[], float] = time.monotonic
    found: dict[str, tuple[Arrival, float]] = field(default_factory=dict)  # by name; when it was looked at last
    trouble: str = ""  # why the folder cannot be read, if so
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def settled(self) -> list[Arrival]:
        """What is whole and has been still long enough, the longest first."""
        now = self.clock()
        with self._changed:
            still = [one for one, _ in self.found.values() if not one.lacks and now - one.since_s >= self.settle_s]
        return sorted(still, key=lambda arrival: (arrival.since_s, arrival.path.name))

    def coming(self) -> int:
        """How many are there and not yet still."""
        now = self.clock()
        with self._changed:
            return sum(1 for arrival, _ in self.found.values() if now - arrival.since_s < self.settle_s)

    def waiting(self) -> list[Arrival]:
        """Folders that lack files, by name."""
        with self._changed:
            return sorted((one for one, _ in self.found.values() if one.lacks), key=lambda one: one.path.name)

    def wait(self, timeout_s: float) -> None:
        """Until the folder was looked at again, or for so long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(LOOK_S)

    def look(self) -> None:
        """Once over the folder."""
        try:
            if self.gathering:
                self.gathering.gather()
            with os.scandir(self.folder) as entries:
                there = {e.name: Path(e.path) for e in entries if is_item(e.name, self.pattern) and e.is_dir() == self.folders}
        except OSError as unreadable:  # a shared file system comes back; what was found stays
            self.trouble = f"{unreadable.filename} cannot be read: {unreadable.strerror}"
            return
        self.trouble, now = "", self.clock()
        fresh: dict[str, tuple[Arrival, float]] = {}
        for name, path in there.items():
            before, looked_s = self.found.get(name, (None, 0.0))
            if before and now - before.since_s > OLD_S and now - looked_s < LOOK_AT_OLD_S:
                fresh[name] = before, looked_s
                continue
            try:
                seen, lacks = look_of(path), self._lacks(path)
            except OSError:  # it was moved or removed at this moment
                continue
            if self.folders and any(child.name.endswith(UNFINISHED) for child in path.rglob("*")):
                seen = f"{seen} unfinished {now}"  # never still
            fresh[name] = (before if before and before.seen == seen else Arrival(path, seen, now, lacks)), now
        with self._changed:
            self.found = fresh
            self._changed.notify_all()

    def _lacks(self, path: Path) -> int:
        if not self.files:
            return 0
        return max(self.files - sum(is_item(child.name, self.of) and child.is_file() for child in path.iterdir()), 0)
