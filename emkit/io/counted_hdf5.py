"""Counted scans in HDF5, as stempy has them: versions 1 to 3 and interactEM's are read, 3 is written.

One row of `electron_events/frames` holds the flat indices of one frame. Version 3 has the same number of frames for each position,
those of the first position first; version 2 tells the position of each row; version 1 has one row a position, the frames of which
were merged, so that an index may come twice. The attributes Nx, Ny are (columns, rows) on the positions, (rows, columns) on the
frames. `metadata/electron_counting` has the thresholds and what they were estimated from, numbers that are not known as 0.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, PathError
from emkit.model import CountedHeader, CountedScan, Sample, Thresholds, offsets_of

VERSION = 3
BATCH = 4096  # rows that are handed to HDF5 at once
KEPT_BACK = 4_000_000  # bytes that it writes when a file is closed
TOLD = "metadata/electron_counting"
TOLD_OF_SAMPLE = {  # stempy's name: ours
    "number_of_samples": "frames",
    "min_sample": "least",
    "max_sample": "most",
    "mean": "mean",
    "std_dev": "spread",
    "number_of_bins": "bins",
    "background_threshold_n_sigma": "background_sigmas",
    "x_ray_threshold_n_sigma": "xray_sigmas",
    "optimized_mean": "noise_mean",
    "optimized_std_dev": "noise_sigma",
}
WHOLE = ("number_of_samples", "number_of_bins")


class Hdf5Scan:
    """A file, held open within `opened`."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self._file = path, file
        self._frames, places = file["electron_events/frames"], file["electron_events/scan_positions"]
        scan_shape, frame_shape = (places.attrs["Ny"], places.attrs["Nx"]), (self._frames.attrs["Nx"], self._frames.attrs["Ny"])
        self.header = CountedHeader(
            (int(scan_shape[0]), int(scan_shape[1])),
            (int(frame_shape[0]), int(frame_shape[1])),
            len(self._frames),
            path.stat().st_size // 4,
            _thresholds(file),
        )
        self.complete: NDArray[np.bool_] | None = None  # it has no place for that

    def positions(self) -> NDArray[np.int64]:
        version = int(self._file.attrs.get("version", self._file["electron_events"].attrs.get("version", 1)))
        if version not in (1, 2, 3):
            raise DataError(f"{self.path} is of version {version}; known are 1, 2 and 3.")
        if version < 3:
            return np.asarray(self._file["electron_events/scan_positions"][()], np.int64)
        (sy, sx), count = self.header.scan_shape, prod(self.header.scan_shape)
        if count == 0 or self.header.frames % count:
            raise DataError(
                f"{self.path} holds {self.header.frames} frames, but its {sy} x {sx} positions need a multiple of {count}."
            )
        return np.repeat(np.arange(count, dtype=np.int64), self.header.frames // count)

    def events(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        rows = self._frames[first:last]
        return offsets_of(map(len, rows)), np.concatenate([np.zeros(0, np.uint32), *rows]).astype(np.uint32)


@contextmanager
def opened(path: Path) -> Iterator[Hdf5Scan]:
    """The file, open; PathError with the reason where it cannot be, or what is asked of it cannot be read."""
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5Scan(path, file)
    except BlockingIOError:
        raise PathError(f"{path} is being written by another program; wait until it is closed.") from None
    except (OSError, KeyError) as wrong:
        raise PathError(f"{path} cannot be read as counted electrons in HDF5: {_reason(wrong)}") from None


def _reason(wrong: Exception) -> str:
    """HDF5's words in ours, where we know what they mean."""
    told = str(wrong)
    if "truncated file" in told:
        return f"it is cut off, or its writer was killed ({told}). Copy it again, or write it anew."
    if "consistency flags" in told or "already open for write" in told:
        return (
            "it is marked as being written (SWMR): its writer still works, or was killed. Wait until it is closed; "
            "if nothing writes it any more, h5clear -s makes it readable."
        )
    return f"{told}. Needed: a file of stempy or emkit."


def write(lines: Iterable[CountedScan], whole: CountedScan, path: Path) -> None:
    """Write lines of a scan, in their order; of the whole, its shape, positions and thresholds are looked at.

    HDF5 has as many frames for every position: where some have fewer, empty ones stand for them. The file takes its name when it
    is whole.
    """
    h5py = import_h5py()
    each = int(whole.frames_at.max(initial=1))
    new = path.with_name(f"unfinished-{path.name}")
    with h5py.File(new, "w") as file:
        file.attrs["version"] = VERSION
        group = file.create_group("electron_events")
        places = group.create_dataset("scan_positions", data=np.arange(prod(whole.scan_shape), dtype=np.int64))
        places.attrs["Nx"], places.attrs["Ny"] = whole.scan_shape[1], whole.scan_shape[0]
        frames = group.create_dataset("frames", (prod(whole.scan_shape) * each,), dtype=h5py.special_dtype(vlen=np.uint32))
        frames.attrs["Nx"], frames.attrs["Ny"] = whole.frame_shape
        row = 0
        for part in lines:
            check_room(new, 4 * part.events + 40 * prod(part.scan_shape) * each)
            _fill(frames, row, part, each)
            row += prod(part.scan_shape) * each
        file.create_group("metadata")
        if whole.thresholds:
            file.create_group(TOLD).attrs.update(_told(whole.thresholds))
    new.replace(path)


def _fill(frames: Any, row: int, part: CountedScan, each: int) -> None:
    """The rows of some lines, of which `row` is the first."""
    order = np.argsort(part.positions, kind="stable")
    nth = np.arange(len(part)) - np.searchsorted(part.positions[order], part.positions[order])
    frame_of = np.full(prod(part.scan_shape) * each, -1, np.int64)
    frame_of[part.positions[order] * each + nth] = order
    for first in range(0, len(frame_of), BATCH):
        rows = np.empty(len(frame_of[first : first + BATCH]), object)
        for k, frame in enumerate(frame_of[first : first + BATCH]):
            a, b = (part.offsets[frame], part.offsets[frame + 1]) if frame >= 0 else (0, 0)
            rows[k] = part.indices[a:b]
        if len(set(map(len, rows))) > 1:
            frames[row + first : row + first + len(rows)] = rows
            continue
        for k, one in enumerate(rows):  # rows of one length would be taken for a table
            frames[row + first + k] = one


def check_room(file: Path, needed_bytes: int) -> None:
    """OSError if the disk has no room for so much and for what HDF5 keeps back: it ends the process where a disk is full."""
    if shutil.disk_usage(file.parent).free < needed_bytes + KEPT_BACK:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def _told(thresholds: Thresholds) -> dict[str, Any]:
    """The 14 attributes, of stempy's types."""
    sample = thresholds.sample
    numbers = {theirs: getattr(sample, ours, 0) for theirs, ours in TOLD_OF_SAMPLE.items()}
    return {
        "threshold_calculated": np.bool_(sample is not None),
        "background_threshold": np.float64(thresholds.background),
        "x_ray_threshold": np.float64(thresholds.xray),
        "variance": np.float64(sample.spread**2 if sample else 0),
        **{name: (np.int64 if name in WHOLE else np.float64)(value) for name, value in numbers.items()},
    }


def _thresholds(file: Any) -> Thresholds | None:
    """Those that a file tells; None where it does not, or tells zeros, as stempy itself does for some readers."""
    told = dict(file[TOLD].attrs) if TOLD in file else {}
    background, xray = float(told.get("background_threshold", 0)), float(told.get("x_ray_threshold", 0))
    if not 0 <= background < xray:
        return None
    if not told.get("threshold_calculated") or not set(TOLD_OF_SAMPLE) <= set(told):
        return Thresholds(background, xray)
    numbers = {ours: told[name].item() for name, ours in TOLD_OF_SAMPLE.items()}
    return Thresholds(background, xray, sample=Sample(**numbers))


def import_h5py() -> Any:
    """PathError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise PathError("HDF5 needs h5py, which is not installed here: pip install 'emkit[counting]'") from None
    return h5py
