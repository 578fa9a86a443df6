"""Parts of a scan, each counted on its own, and the zarr that they become: nobody ever holds more than a few chunks of events.

A part lies in a folder as two files of bare numbers, little endian: the electrons of each frame (int64) and the indices (uint32).
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.io import counted_zarr
from emkit.model import CountedHeader, CountedScan

COUNTS, INDICES = "<i8", "<u4"
EVENTS = 2 * counted_zarr.CHUNK  # that are joined at once


@dataclass(frozen=True)
class Piece:
    """The events of a part from number `first` to before `last`."""

    part: str
    first: int
    last: int


def write_part(scan: CountedScan, folder: Path, part: str) -> tuple[Path, Path]:
    """The files that it wrote."""
    (counts := folder / f"{part}.counts").write_bytes(scan.counts.astype(COUNTS).data)  # tofile hides that a disk is full
    (indices := folder / f"{part}.indices").write_bytes(scan.indices.astype(INDICES).data)
    return counts, indices


def events_of(folder: Path, part: str) -> int:
    """How many events a part has, by the size of its file."""
    return (folder / f"{part}.indices").stat().st_size // np.dtype(INDICES).itemsize


def batches(events: Mapping[str, int], size: int = EVENTS) -> dict[int, tuple[Piece, ...]]:
    """All events of the parts, in their order, in batches of a size: the number of the first, and where they are.

    >>> batches({"a": 3, "b": 2}, size=4)
    {0: (Piece(part='a', first=0, last=3), Piece(part='b', first=0, last=1)), 4: (Piece(part='b', first=1, last=2),)}
    """
    ends = np.concatenate([[0], np.cumsum(list(events.values()), dtype=np.int64)])
    names, found = list(events), {}
    for first in range(0, int(ends[-1]), size):
        last = min(first + size, int(ends[-1]))
        there = range(int(np.searchsorted(ends, first, "right")) - 1, int(np.searchsorted(ends, last)))
        found[first] = tuple(
            Piece(names[k], max(0, first - int(ends[k])), min(last, int(ends[k + 1])) - int(ends[k]))
            for k in there
            if events[names[k]]
        )
    return found


def join_events(folder: Path, out: Path, first: int, pieces: tuple[Piece, ...]) -> list[Path]:
    """A batch into the zarr; the chunks that it wrote."""
    found = [
        np.fromfile(folder / f"{piece.part}.indices", INDICES, piece.last - piece.first, offset=4 * piece.first) for piece in pieces
    ]
    return counted_zarr.write_events(out, first, np.concatenate(found).astype(np.uint32, copy=False))


def write_lines(lines: Iterable[CountedScan], whole: CountedScan, out: Path) -> None:
    """Write lines of a scan, in their order, as zarr; of the whole, its shape and thresholds are looked at."""
    out.mkdir(exist_ok=True)
    (folder := out / "parts").mkdir(exist_ok=True)
    events, counts, positions, complete = dict[str, int](), [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    first = 0
    for number, part in enumerate(lines):
        write_part(part, folder, str(number))
        events[str(number)] = part.events
        counts.append(part.counts)
        positions.append(part.positions + first * whole.scan_shape[1])
        complete += [] if part.complete is None else [part.complete]
        first += part.scan_shape[0]
    frames = np.concatenate(counts)
    header = CountedHeader(whole.scan_shape, whole.frame_shape, len(frames), sum(events.values()), whole.thresholds)
    counted_zarr.create(out, header)
    for begin, pieces in batches(events).items():
        join_events(folder, out, begin, pieces)
    counted_zarr.write_frames(out, frames, np.concatenate(positions), np.concatenate(complete) if complete else None)
    shutil.rmtree(folder)


def join_frames(folder: Path, out: Path, parts: tuple[str, ...], complete: NDArray[np.bool_] | None) -> list[Path]:
    """What there is of each frame, one frame for each position, into the zarr; the files that it wrote."""
    counts = np.concatenate([np.zeros(0, np.int64), *(np.fromfile(folder / f"{part}.counts", COUNTS) for part in parts)])
    return counted_zarr.write_frames(out, counts, np.arange(len(counts), dtype=np.int64), complete)
