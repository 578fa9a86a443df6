"""Counted scans on disk: HDF5 as stempy has it, and a smaller zarr of our own; the name tells which.

Whole, or line by line where they do not fit into memory. Axis order is (sy, sx, ky, kx).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, ParameterError
from emkit.io import counted_hdf5, counted_zarr
from emkit.model import CountedHeader, CountedScan

HDF5 = (".h5", ".hdf5")
PART = 2**21  # events in a part, about


class Stored(Protocol):
    """What a format gives."""

    path: Path
    header: CountedHeader

    @property
    def complete(self) -> NDArray[np.bool_] | None: ...

    def positions(self) -> NDArray[np.int64]: ...

    def events(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Offsets from 0, and indices, of these frames."""
        ...


def counted_header(path: Path) -> CountedHeader:
    """Headers only. PathError where it is no counted scan."""
    with _opened(path) as stored:
        return stored.header


def counted_frames(path: Path) -> CountedScan:
    """What a file tells of the frames of its scan: the scan, as if it had no electrons. In memory its positions alone."""
    with _opened(path) as stored:
        header, positions, nothing = stored.header, stored.positions(), np.zeros(0, np.uint32)
        offsets = np.zeros(len(positions) + 1, np.int64)
        return CountedScan(offsets, nothing, header.scan_shape, header.frame_shape, positions, stored.complete, header.thresholds)


def read_counted(path: Path, lines: tuple[int, int] | None = None) -> CountedScan:
    """A counted scan, or its scan lines from the first to before the last, of which alone the events are read.

    Raises PathError where it cannot be read, with the reason, DataError where it contradicts itself.
    """
    with _opened(path) as stored:
        height = stored.header.scan_shape[0]
        first, last = lines or (0, height)
        if not 0 <= first <= last <= height:
            raise ParameterError(f"lines: found {first} to {last}, but {path} has the lines 0 to {height}.")
        return _lines(stored, stored.positions(), first, last)


def iter_counted(path: Path, events: int = PART, lines: int = 1) -> Iterator[CountedScan]:
    """All lines of a scan in their order, some at once: scans of about so many events, and of a multiple of so many lines."""
    with _opened(path) as stored:
        (height, _), positions = stored.header.scan_shape, stored.positions()
        step = lines * max(1, height * events // max(1, stored.header.events) // lines)
        for first in range(0, height, step):
            yield _lines(stored, positions, first, min(first + step, height))


def write_counted(scan: CountedScan, path: Path) -> None:
    """Write a scan: as stempy's HDF5 (version 3) where the name ends in .h5 or .hdf5, else as zarr.

    HDF5 takes its name when it is whole. It has as many frames for every position; where some have fewer, empty ones stand for
    them.
    """
    if path.suffix in HDF5:
        counted_hdf5.write([scan], scan, path)
    else:
        counted_zarr.write(scan, path)


def _opened(path: Path) -> AbstractContextManager[Stored]:
    return counted_hdf5.opened(path) if path.suffix in HDF5 else counted_zarr.opened(path)


def _lines(stored: Stored, positions: NDArray[np.int64], first: int, last: int) -> CountedScan:
    """The scan of these lines, checked. Frames that lie between theirs in the file are read too, and left out."""
    header, width = stored.header, stored.header.scan_shape[1]
    if len(positions) != header.frames or (
        positions.size and not 0 <= positions.min() <= positions.max() < prod(header.scan_shape)
    ):
        raise DataError(f"{stored.path}: its {header.frames} frames do not lie on its {header.scan_shape[0]} x {width} positions.")
    wanted = np.flatnonzero((positions >= first * width) & (positions < last * width))
    part = slice(int(wanted[0]), int(wanted[-1]) + 1) if wanted.size else slice(0, 0)
    offsets, indices = stored.events(part.start, part.stop)
    if len(indices) != offsets[-1]:
        raise DataError(f"{stored.path}: its frames need {offsets[-1]} events from there on, but {len(indices)} are there.")
    if indices.size and indices.max() >= prod(header.frame_shape):
        raise DataError(
            f"{stored.path}: found the index {indices.max()}, but a frame of {header.frame_shape} has "
            f"{prod(header.frame_shape)} pixels."
        )
    complete = None if (whole := stored.complete) is None else whole[part]
    if len(wanted) == part.stop - part.start:
        shape, here = (last - first, width), positions[part] - first * width
        return CountedScan(offsets, indices, shape, header.frame_shape, here, complete, header.thresholds)
    scan = CountedScan(offsets, indices, header.scan_shape, header.frame_shape, positions[part], complete, header.thresholds)
    return cast(CountedScan, scan[first:last])
