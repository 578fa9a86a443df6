"""Digests of files: several at once, and ended at once.

sha256 lets go of the interpreter's lock while it works, so threads are enough. A file is read in pieces, and between two of
them anybody may end the whole.
"""

import hashlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path

from emkit.progress import PERIOD_S, Cancelled, cancelled

PIECE_BYTES = 2**20


def sha256(path: Path) -> str:
    """The digest of one file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(paths: Iterable[Path]) -> Generator[tuple[Path, str | OSError], None, None]:
    """The digest of each file as it comes, in any order, or why it cannot be read; by two threads a core, as one may wait.

    Raises `Cancelled` within two tenths of a second after somebody asks for it, and reads nothing any more when it is closed.
    """
    found: queue.SimpleQueue[tuple[Path, str | OSError] | None] = queue.SimpleQueue()
    ended, todo = threading.Event(), deque(paths)

    def work() -> None:
        piece = memoryview(bytearray(PIECE_BYTES))
        with suppress(IndexError):  # nothing is left
            while not ended.is_set():
                path = todo.popleft()
                try:
                    found.put((path, _digest(path, piece, ended)))
                except OSError as unreadable:
                    found.put((path, unreadable))
        found.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2 * len(os.sched_getaffinity(0)))]
    for thread in threads:
        thread.start()
    at_work, asked_s = len(threads), time.monotonic()
    try:
        while at_work:
            if (now_s := time.monotonic()) - asked_s >= PERIOD_S:
                if cancelled():
                    raise Cancelled("cancelled while files were read")
                asked_s = now_s
            try:
                one = found.get(timeout=PERIOD_S)
            except queue.Empty:
                continue
            if one is None:
                at_work -= 1
            else:
                yield one
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _digest(path: Path, piece: memoryview, ended: threading.Event) -> str:
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while not ended.is_set() and (size := file.readinto(piece)):
            hasher.update(piece[:size])
    return hasher.hexdigest()
