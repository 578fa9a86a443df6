"""Frames to counted electrons. Axis order is (sy, sx, ky, kx); frames may also come as one row, (n, ky, kx)."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.count.definition import Ties
from emkit.count.kernel import bounds, kernel
from emkit.errors import DataError, ParameterError
from emkit.model import CountedScan, Thresholds, offsets_of

BATCH_BYTES = 2**25  # of frames that a thread takes at once


def count_frames(
    frames: NDArray[Any],
    thresholds: Thresholds,
    dark: NDArray[Any] | None = None,
    gain: NDArray[Any] | None = None,
    scan_shape: tuple[int, int] | None = None,
    ties: Ties = "keep",
    device: str = "cpu",
) -> CountedScan:
    """The electrons of every frame: pixels greater than all their neighbours, between the thresholds.

    `emkit.count.definition` says exactly which. All cores work, the frames are not copied.

    Parameters
    ----------
    frames
        (n, H, W), (sy, sx, H, W) or, with several frames a position, (sy, sx, f, H, W); any integer type.
    thresholds
        Background and X-ray limit, of v = raw - dark (divided by the gain, where there is one).
    dark
        (H, W), the offset of each pixel. Where it is not whole, v is float32.
    gain
        (H, W), the response of each pixel relative to the mean.
    scan_shape
        (SY, SX); needed of (n, H, W) where the scan is more than one line. n may be a multiple: several frames a position.
    ties
        "keep": of a plateau one pixel is an event, always the first; "drop": none, as stempy does.
    device
        "cpu", or "cuda" (or "cuda:N") for a GPU, through torch; the events are the same.

    Raises
    ------
    ParameterError, DataError
        Shapes that do not fit, with the arithmetic; frames that are not whole numbers; a dark with NaN or below 0.
    ResourceError
        No such GPU is here, or no torch.

    >>> import numpy as np
    >>> count_frames(np.array([[[0, 9, 0, 0, 7]]], np.uint16), Thresholds(1, 100)).indices
    array([1, 4], dtype=uint32)
    """
    if ties not in ("keep", "drop"):
        raise ParameterError(f'ties: found {ties!r}, needed "keep" or "drop".')
    rows, scan_shape, positions = _arranged(frames, scan_shape)
    frame_shape = (rows.shape[1], rows.shape[2])
    if dark is not None:
        check_reference("dark", dark, frame_shape)
    if gain is not None:
        check_reference("gain", gain, frame_shape, least=np.nextafter(0, 1))
    prepared = _Prepared(rows, dark, gain)
    low, high = bounds(thresholds, prepared.dtype)
    find, at_once = kernel(), len(os.sched_getaffinity(0))
    if device != "cpu":
        from emkit.count.device import by_torch, check_device

        check_device(device)
        find, at_once = partial(by_torch, device=device), 1
    step = max(1, BATCH_BYTES // max(1, prod(frame_shape) * prepared.dtype.itemsize))
    starts = range(0, len(rows), step)

    def count(first: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        return find(prepared[first : first + step], prepared.dark, low, high, ties)

    if at_once == 1 or len(starts) < 2:
        parts = [count(first) for first in starts]
    else:
        with ThreadPoolExecutor(at_once) as threads:
            parts = list(threads.map(count, starts))
    offsets = offsets_of(np.concatenate([np.zeros(0, np.int64), *(np.diff(ends, prepend=0) for _, ends in parts)]))
    indices = np.concatenate([np.zeros(0, np.uint32), *(found for found, _ in parts)])
    return CountedScan(offsets, indices, scan_shape, frame_shape, positions, thresholds=thresholds)


class _Prepared:
    """Batches of frames in the type that a kernel takes: as they are, where they are 16 bit and the dark is whole."""

    def __init__(self, rows: NDArray[Any], dark: NDArray[Any] | None, gain: NDArray[Any] | None) -> None:
        self.rows, self.gain = rows, gain
        whole = gain is None and (dark is None or bool(np.all(dark == np.floor(dark))))
        small = rows.dtype in (np.uint8, np.uint16) and (dark is None or dark.max(initial=0) < 2**16)
        self.dtype = np.dtype(np.float32 if not whole else np.uint16 if small else np.int64)
        self.dark = None if dark is None or gain is not None else np.ascontiguousarray(dark, self.dtype)
        self.offset = None if dark is None else dark.astype(np.float32)

    def __getitem__(self, part: slice) -> NDArray[Any]:
        if self.gain is None:
            return np.ascontiguousarray(self.rows[part], self.dtype)
        v = self.rows[part].astype(np.float32)
        if self.offset is not None:
            v -= self.offset
        v *= 1 / self.gain.astype(np.float32)
        return v


def _arranged(frames: NDArray[Any], scan_shape: tuple[int, int] | None) -> tuple[NDArray[Any], tuple[int, int], NDArray[np.int64]]:
    """Frames in one row, the scan's shape, and the position of each frame."""
    rows = rows_of(frames)
    own = (1, len(frames)) if frames.ndim == 3 else (frames.shape[0], frames.shape[1])
    shape = own if scan_shape is None else (int(scan_shape[0]), int(scan_shape[1]))
    if frames.ndim > 3 and prod(shape) != prod(own):
        raise ParameterError(f"scan_shape: found {shape}, but the frames are arranged as {own[0]} x {own[1]} positions.")
    if min(shape) < 0 or (prod(shape) == 0) != (len(rows) == 0) or (len(rows) and len(rows) % prod(shape)):
        needed, missing = prod(shape), prod(shape) - len(rows)
        told = f"{missing} are missing from position {_place(len(rows), shape)} on" if missing > 0 else f"{-missing} are too many"
        raise ParameterError(
            f"scan_shape: found {len(rows)} frames, but {shape[0]} x {shape[1]} positions need {needed}: {told}. "
            + (f"To keep the whole lines give scan_shape=({len(rows) // shape[1]}, {shape[1]}) and their frames alone."
               if missing > 0 and shape[1] and len(rows) >= shape[1] else "Give the scan's own shape (lines, positions in a line).")
        )  # fmt: skip
    each = len(rows) // prod(shape) if len(rows) else 1
    return rows, shape, np.repeat(np.arange(prod(shape), dtype=np.int64), each)


def rows_of(frames: NDArray[Any]) -> NDArray[Any]:
    """Frames in one row, (n, H, W); refused if they are none."""
    if frames.dtype.kind not in "iu":
        raise DataError(f"frames: found {frames.dtype}, needed whole numbers: counts of the detector as it wrote them.")
    if frames.ndim not in (3, 4, 5) or 0 in frames.shape[-2:]:
        raise ParameterError(f"frames: found the shape {frames.shape}; needed (n, H, W), (sy, sx, H, W) or (sy, sx, f, H, W).")
    return frames.reshape(-1, *frames.shape[-2:])


def _place(frame: int, shape: tuple[int, int]) -> str:
    return f"(sy={frame // shape[1]}, sx={frame % shape[1]})" if shape[1] else "the first"


def check_reference(name: str, reference: NDArray[Any], frame_shape: tuple[int, int], least: float = 0.0) -> None:
    """ParameterError if it is of another shape than frames, DataError if it holds what is no number, or less than the least."""
    if reference.shape != frame_shape:
        raise ParameterError(
            f"{name}: found the shape {reference.shape}, but frames are {frame_shape}. Give the reference of this detector."
        )
    bad = ~(np.isfinite(reference) & (reference >= least))
    if bad.any():
        y, x = np.argwhere(bad)[0]
        raise DataError(
            f"{name}: {int(bad.sum())} pixels are not usable, the first at (ky={y}, kx={x}) with {reference[y, x]}; "
            f"needed: finite numbers {'of 0 or more' if least == 0 else 'above 0'}. Build it anew, or mask these pixels."
        )
