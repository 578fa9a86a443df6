"""What a receiver writes while a scan runs: a file of records that is only appended to, one record a group of frames.

A record: 24 bytes (magic, u32 first frame, u32 frames, u64 events, u32 CRC-32 of all else), the sector mask of each frame (u8),
its electrons (u32), the flat indices of all (u32). A file that ends within a record belongs to a receiver that was killed:
what it had not written whole it had not confirmed.

PARTS/plan.json says which scan it is and how it is counted, so that what a lost session has left can still be joined.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from emkit.errors import DataError, ResourceError
from emkit.stream.messages import How
from emkit.stream.plan import Plan, Record

PARTS = "parts"  # a folder in that of the scan
SUFFIX = ".events"
HEAD = struct.Struct("<4sIIQI")
MAGIC = b"EMKG"


@dataclass(frozen=True)
class Part:
    """The events of consecutive frames: masks and counts of each, indices of all."""

    first: int
    masks: NDArray[np.uint8]
    counts: NDArray[np.uint32]
    indices: NDArray[np.uint32]


class PartFile:
    """Appends parts. A new file for every receiver that ever ran, so that nobody writes after a torn record."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}-{os.urandom(4).hex()}{SUFFIX}"
        self._file = self.path.open("xb", buffering=0)

    def append(self, part: Part) -> None:
        """Hand a part to the operating system: it outlives this process. ResourceError where the disk is full."""
        body = part.masks.tobytes() + part.counts.tobytes() + part.indices.tobytes()
        crc = zlib.crc32(body, zlib.crc32(HEAD.pack(MAGIC, part.first, len(part.masks), len(part.indices), 0)))
        record = memoryview(HEAD.pack(MAGIC, part.first, len(part.masks), len(part.indices), crc) + body)
        try:
            while record:
                record = record[self._file.write(record) :]
        except OSError as wrong:
            raise ResourceError(
                f"{self.path} cannot be written ({wrong.strerror}); its frames go to another receiver. Make room."
            ) from None

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class Parts(Record):
    """What a folder of parts is of."""

    plan: Plan
    how: How


def write_plan(folder: Path, plan: Plan, how: How) -> None:
    """All receivers write the same; whoever reads finds it whole."""
    new = folder / f"plan-{os.urandom(4).hex()}.new"
    new.write_text(Parts(plan=plan, how=how).model_dump_json(indent=1), encoding="utf-8")
    new.rename(folder / "plan.json")


def read_plan(folder: Path) -> Parts:
    """DataError where there is none that can be read."""
    try:
        return Parts.model_validate_json((folder / "plan.json").read_bytes())
    except (OSError, ValidationError) as wrong:
        raise DataError(f"{folder} holds no plan.json that says of which scan it is ({wrong}).") from None


def read_counts(path: Path) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint32]]]:
    """Of each record its first frame, and masks and electrons of its frames: without the events, and so without their check sum."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(HEAD.size)) == HEAD.size:
            magic, first, frames, events, _ = HEAD.unpack(head)
            if magic != MAGIC or file.tell() + 5 * frames + 4 * events > size:
                return
            body = file.read(5 * frames)
            yield first, np.frombuffer(body, np.uint8, frames), np.frombuffer(body, "<u4", frames, frames)
            file.seek(4 * events, os.SEEK_CUR)


def read_parts(path: Path) -> Iterator[Part]:
    """The whole records of a file, up to the first that is not."""
    data = path.read_bytes()
    at = 0
    while len(data) - at >= HEAD.size:
        magic, first, frames, events, crc = HEAD.unpack_from(data, at)
        start, end = at + HEAD.size, at + HEAD.size + 5 * frames + 4 * events
        if magic != MAGIC or end > len(data):
            return
        if zlib.crc32(memoryview(data)[start:end], zlib.crc32(HEAD.pack(magic, first, frames, events, 0))) != crc:
            return
        yield Part(
            first,
            np.frombuffer(data, np.uint8, frames, start),
            np.frombuffer(data, "<u4", frames, start + frames),
            np.frombuffer(data, "<u4", events, start + 5 * frames),
        )
        at = end
