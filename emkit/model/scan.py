"""Scans of counted electrons. Axis order is (sy, sx, ky, kx): scan position, then pixel of the detector."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite, prod
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from emkit.errors import ParameterError

Extent = tuple[int, int]
Over = Literal["scan", "frame"]


@dataclass(frozen=True)
class Sample:
    """The frames that thresholds were estimated from: how many, what their pixels are (ADU), and the noise that was fitted."""

    frames: int
    least: float
    most: float
    mean: float
    spread: float  # standard deviation
    bins: int
    background_sigmas: float
    xray_sigmas: float
    noise_mean: float
    noise_sigma: float


@dataclass(frozen=True)
class Thresholds:
    """A pixel counts if background < v < xray, in units of the detector (ADU) after the dark reference is subtracted.

    `sample` is what they were estimated from; None: they were given.
    """

    background: float
    xray: float
    sample: Sample | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not (isfinite(self.background) and not np.isnan(self.xray) and 0 <= self.background < self.xray):
            raise ParameterError(
                f"thresholds: found background={self.background:g} and xray={self.xray:g}; needed: 0 <= background < xray, "
                "no NaN. Estimate them from the data: emkit.count.estimate_thresholds(frames)."
            )


def offsets_of(counts: Iterable[int] | NDArray[Any]) -> NDArray[np.int64]:
    """Where the events of each frame begin, and where the last end: `CountedScan.offsets` from the electrons of each frame.

    >>> offsets_of([2, 0, 3])
    array([0, 2, 2, 5])
    """
    given = counts if isinstance(counts, np.ndarray) else np.fromiter(counts, np.int64)
    return np.concatenate([[0], np.cumsum(given, dtype=np.int64)])


@dataclass(frozen=True)
class CountedHeader:
    """What a file tells of its scan without its events. `events` is at most so many where the format does not tell it (HDF5)."""

    scan_shape: Extent
    frame_shape: Extent
    frames: int
    events: int
    thresholds: Thresholds | None = None


@dataclass(frozen=True)
class CountedScan:
    """The electrons of a scan: for each frame the flat indices `row * W + column` of its events, one after the other (CSR).

    Frame k holds `indices[offsets[k] : offsets[k + 1]]`, in ascending order; a pixel that holds several electrons, as after
    binning, is named as often. `positions[k]` is the flat scan position of frame k, `sy * SX + sx`: several frames may share one,
    and some may have none. `complete[k]` says whether all sectors of frame k arrived; None: of all frames. `thresholds` are those
    that it was counted with, where they are known.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.uint32]
    scan_shape: Extent
    frame_shape: Extent
    positions: NDArray[np.int64] = cast(Any, None)  # left out: one frame for each position, in order
    complete: NDArray[np.bool_] | None = None
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        if self.positions is None:
            object.__setattr__(self, "positions", np.arange(prod(self.scan_shape), dtype=np.int64))
        if len(self.positions) != len(self.offsets) - 1:
            raise ParameterError(
                f"scan_shape: {self.scan_shape} has {prod(self.scan_shape)} positions, but there are {len(self.offsets) - 1} frames"
            )

    def __len__(self) -> int:
        """Frames."""
        return len(self.offsets) - 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return *self.scan_shape, *self.frame_shape

    @property
    def events(self) -> int:
        """Electrons in all."""
        return int(self.offsets[-1])

    @property
    def occupancy(self) -> float:
        """Electrons per pixel of a frame; 0 where there are no frames."""
        return self.events / (len(self) * prod(self.frame_shape)) if len(self) else 0.0

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Electrons of each frame."""
        return np.diff(self.offsets)

    @cached_property
    def frames_at(self) -> NDArray[np.int64]:
        """Frames of each position, (sy, sx)."""
        return np.bincount(self.positions, minlength=prod(self.scan_shape)).reshape(self.scan_shape)

    # ---- reading ----

    def frame(self, sy: int, sx: int) -> NDArray[np.uint32]:
        """The electrons per pixel at one position, (ky, kx)."""
        found = self.indices[self._events_of(self.positions == sy * self.scan_shape[1] + sx)]
        return np.bincount(found, minlength=prod(self.frame_shape)).astype(np.uint32).reshape(self.frame_shape)

    def dense(self) -> NDArray[np.uint32]:
        """Everything as an array, (sy, sx, ky, kx): as large as it sounds."""
        pixels = prod(self.frame_shape)
        flat = np.repeat(self.positions, self.counts) * pixels + self.indices
        return np.bincount(flat, minlength=prod(self.shape)).astype(np.uint32).reshape(self.shape)

    def __getitem__(self, key: Any) -> "CountedScan | NDArray[np.uint32]":
        """As of a (sy, sx, ky, kx) array: a scan of the part; where both sy and sx are numbers, the frame there as an array.

        A number for one of sy and sx gives an axis of length 1. The key may be a mask of the scan's shape: its positions, in one
        row. Steps other than 1 are for the scan's axes only.
        """
        if isinstance(key, np.ndarray):
            chosen = np.flatnonzero(self._as_mask(key))
            return self._at(chosen.reshape(1, -1))
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in key:
            at = key.index(Ellipsis)
            key = (*key[:at], *[slice(None)] * (5 - len(key)), *key[at + 1 :])
        if len(key) > 4:
            raise IndexError(f"found {len(key)} indices, needed at most 4: sy, sx, ky, kx")
        scan, frame = (*key, *[slice(None)] * (4 - len(key)))[:2], (*key, *[slice(None)] * (4 - len(key)))[2:]
        whole = np.arange(prod(self.scan_shape)).reshape(self.scan_shape)
        if all(isinstance(k, int | np.integer) for k in scan):
            there: NDArray[np.uint32] = self.frame(*divmod(int(whole[scan]), self.scan_shape[1]))[frame]
            return there
        found = self._at(whole[tuple(slice(k, k + 1 or None) if isinstance(k, int | np.integer) else k for k in scan)])
        return found if frame == (slice(None), slice(None)) else found.crop(*frame)

    # ---- numbers ----

    def sum(self, over: Over) -> NDArray[np.int64]:
        """Electrons: over the scan, an image of the detector (ky, kx); over the frame, an image of the scan (sy, sx)."""
        if over == "scan":
            return np.bincount(self.indices, minlength=prod(self.frame_shape)).reshape(self.frame_shape)
        return self.weigh(self.counts)

    def mean(self, over: Over) -> NDArray[np.float64]:
        """Electrons per frame at each pixel, or per pixel at each position."""
        return self.sum(over) / (len(self) if over == "scan" else prod(self.frame_shape))

    def max(self, over: Over) -> NDArray[np.int64]:
        """The most electrons that a pixel has at one position, or that a position has in one pixel."""
        pixels = prod(self.frame_shape)
        pairs, times = np.unique(np.repeat(self.positions, self.counts) * pixels + self.indices, return_counts=True)
        place, shape = (pairs % pixels, self.frame_shape) if over == "scan" else (pairs // pixels, self.scan_shape)
        found = np.zeros(prod(shape), np.int64)
        np.maximum.at(found, place, times)
        return found.reshape(shape)

    def weigh(self, of_frames: NDArray[Any]) -> NDArray[Any]:
        """An image of the scan, (sy, sx), from a number for each frame: the sum at each position."""
        exact = np.issubdtype(of_frames.dtype, np.integer)
        found = np.bincount(self.positions, weights=of_frames, minlength=prod(self.scan_shape)).reshape(self.scan_shape)
        return found.astype(np.int64) if exact else found

    # ---- other scans ----

    def crop(self, ky: slice, kx: slice) -> "CountedScan":
        """The part of every frame between these rows and columns."""
        (top, bottom), (left, right) = self._span(ky, 0), self._span(kx, 1)
        y, x = np.divmod(self.indices, self.frame_shape[1])
        kept = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        return self._mapped(((y - top) * (right - left) + x - left)[kept], (bottom - top, right - left), kept)

    def bin_frame(self, factor: int) -> "CountedScan":
        """`factor` by `factor` pixels as one; pixels beyond the last whole bin are left out."""
        height, width = (n // self._positive(factor) for n in self.frame_shape)
        y, x = (n // factor for n in np.divmod(self.indices, self.frame_shape[1]))
        kept = (y < height) & (x < width)
        binned = self._mapped((y * width + x)[kept], (height, width), kept)
        order = np.lexsort((binned.indices, np.repeat(np.arange(len(self)), binned.counts)))
        return replace(binned, indices=binned.indices[order])

    def bin_scan(self, factor: int) -> "CountedScan":
        """`factor` by `factor` positions as one; their frames stay apart. Positions beyond the last whole bin are left out."""
        height, width = (n // self._positive(factor) for n in self.scan_shape)
        y, x = (n // factor for n in np.divmod(self.positions, self.scan_shape[1]))
        kept = np.flatnonzero((y < height) & (x < width))
        return self._frames(kept, (y * width + x)[kept], (height, width))

    def merged(self) -> "CountedScan":
        """One frame for each position, with the electrons of all that it had."""
        order = np.lexsort((self.indices, np.repeat(self.positions, self.counts)))
        offsets = offsets_of(self.sum("frame").ravel())
        complete = (
            None if self.complete is None else np.bincount(self.positions[~self.complete], minlength=prod(self.scan_shape)) == 0
        )
        return CountedScan(
            offsets, self.indices[order], self.scan_shape, self.frame_shape, complete=complete, thresholds=self.thresholds
        )

    def without_flyback(self, columns: int) -> "CountedScan":
        """The last columns of every scan line left out: what was recorded while the beam went back."""
        if not 0 <= columns < self.scan_shape[1]:
            raise ParameterError(
                f"columns: found {columns}, needed 0 to {self.scan_shape[1] - 1}: a line has {self.scan_shape[1]}."
            )
        width = self.scan_shape[1] - columns
        y, x = np.divmod(self.positions, self.scan_shape[1])
        kept = np.flatnonzero(x < width)
        return self._frames(kept, (y * width + x)[kept], (self.scan_shape[0], width))

    def reshape(self, scan_shape: Extent) -> "CountedScan":
        """The same positions in other lines."""
        if prod(scan_shape) != prod(self.scan_shape):
            raise ParameterError(f"scan_shape: found {scan_shape} = {prod(scan_shape)}, needed {prod(self.scan_shape)} positions.")
        return replace(self, scan_shape=scan_shape)

    def select(self, events: NDArray[np.bool_]) -> "CountedScan":
        """The same frames with these events alone."""
        return self._mapped(self.indices[events], self.frame_shape, events)

    # ---- within ----

    def _at(self, chosen: NDArray[np.intp]) -> "CountedScan":
        """The scan of these flat positions, which are arranged in two axes."""
        place = np.full(prod(self.scan_shape), -1, np.int64)
        place[chosen.ravel()] = np.arange(chosen.size)
        now = place[self.positions]
        frames = np.flatnonzero(now >= 0)
        frames = frames[np.argsort(now[frames], kind="stable")]
        return self._frames(frames, now[frames], (chosen.shape[0], chosen.shape[1]))

    def _frames(self, frames: NDArray[np.intp], positions: NDArray[np.int64], scan_shape: Extent) -> "CountedScan":
        counts = self.counts[frames]
        offsets = offsets_of(counts)
        where = np.arange(offsets[-1]) + np.repeat(self.offsets[frames] - offsets[:-1], counts)
        complete = None if self.complete is None else self.complete[frames]
        return CountedScan(
            offsets, self.indices[where], scan_shape, self.frame_shape, positions.astype(np.int64), complete, self.thresholds
        )

    def _mapped(self, indices: NDArray[Any], frame_shape: Extent, kept: NDArray[np.bool_]) -> "CountedScan":
        before = offsets_of(kept)
        return replace(self, offsets=before[self.offsets], indices=indices.astype(np.uint32), frame_shape=frame_shape)

    def _events_of(self, frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.repeat(frames, self.counts)

    def _span(self, part: Any, axis: int) -> tuple[int, int]:
        size = self.frame_shape[axis]
        part = slice(part, part + 1 or None) if isinstance(part, int | np.integer) else part
        first, last, stride = part.indices(size)
        if stride != 1:
            raise IndexError("frames are cropped, not thinned: give ky and kx without a step, or use bin_frame")
        return first, max(first, last)

    def _as_mask(self, key: NDArray[Any]) -> NDArray[np.bool_]:
        if key.dtype != np.bool_ or key.shape != self.scan_shape:
            raise IndexError(
                f"found an array of {key.dtype} of {key.shape}; needed a mask (bool) of the scan's shape {self.scan_shape}"
            )
        return key.ravel()

    @staticmethod
    def _positive(factor: int) -> int:
        if factor < 1:
            raise ParameterError(f"factor: found {factor}, needed 1 or more.")
        return factor
