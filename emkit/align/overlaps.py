"""Where two tiles of one section show the same: by how much they are shifted, then point by point along their overlap.

Both tiles hold the same tissue under different noise, light and lens error, unlike neighbouring sections; so all frequencies above
the noise count, and single patches are exact to a few hundredths of a px. *Coarse*: the strips that should overlap, with a margin
on each side, by whitened correlation (`correlation`). *Fine*: patches along the overlap, at first whole px apart and by
correlation; once maps are known, cut through them, so that what is left is small: there the least squares of optical flow (Lucas &
Kanade 1981), symmetric in both, which also says how sure it is.

Tiles are (y, x), points (y, x), px of their tile. An offset is where the moving tile's first pixel lies in the fixed tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from emkit.align.correlation import Pixels, correlate, find_peaks, normalise, shrink, taper
from emkit.align.resampling import STRAIGHT_PX, Spline
from emkit.transforms import CoordinateMap, Floats

LIMIT = 0.3  # cycles a px: the same tissue is seen twice, up to the sharpness of the microscope
LEAST_PX = 20  # of overlap, each way
PATCH_PX = 48
MOST_PATCHES = 48  # an overlap, however large
STRIP_PX = 1_000_000  # pixels of a strip, above which it is shrunk for the coarse search
SURE_SNR = 6.0  # strips that share nothing hardly reach 5
SMOOTH_PX = 1.0  # before differences are taken: noise of single px tells nothing
MARGIN_PX = 12  # about a patch, for its cubic spline


@dataclass(frozen=True)
class Overlap:
    """Two tiles that show the same: ``points`` (k, 2) of tile ``fixed`` are the tissue of ``targets`` (k, 2) of tile ``moving``.

    ``sigma_px`` (k,) is how sure each is. ``snr`` is that of the coarse match.
    """

    fixed: int
    moving: int
    offset: Floats
    snr: float
    points: Floats
    targets: Floats
    sigma_px: Floats
    light: Floats | None = None  # (4,): mean and spread of the greys of the fixed tile, then of the moving one


def common_box(offset: Floats, shape: tuple[int, int], margin: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last + 1 pixel (y, x) of the fixed tile that lie in the moving one too, or within ``margin`` of it."""
    start = np.maximum(0, np.rint(offset).astype(int) - margin)
    stop = np.minimum(shape, np.rint(offset).astype(int) + shape + margin)
    return start, stop


def find_offset(fixed: NDArray[np.generic], moving: NDArray[np.generic], offset: Floats, search_px: int) -> tuple[Floats, float]:
    """The offset near the given one at which the tiles agree best, to about a px, and its SNR, 0 where nothing can be compared."""
    shape = (fixed.shape[0], fixed.shape[1])
    whole = np.rint(offset).astype(int)
    start, stop = common_box(offset, shape, search_px)
    size = stop - start
    if (size < LEAST_PX).any():
        return offset, 0.0
    factor = int(np.ceil(np.sqrt(max(1.0, size.prod() / STRIP_PX))))
    still = _strip(fixed, start, stop, factor)
    other = _strip(moving, start - whole, stop - whole, factor)
    window = taper((still.shape[0], still.shape[1]), 0.15)
    padded = [fft.next_fast_len(n, True) for n in still.shape]
    ready = [np.pad(strip * window, [(0, p - n) for p, n in zip(padded, strip.shape, strict=True)]) for strip in (still, other)]
    shift, snr = find_peaks(correlate(ready[0][None], ready[1][None], LIMIT), search_px / factor)
    return whole - shift[0] * factor, float(snr[0])


def _strip(tile: NDArray[np.generic], start: NDArray[np.int64], stop: NDArray[np.int64], factor: int) -> Pixels:
    """The pixels of a window that may leave the tile, shrunk and normalised; beyond the tile 0."""
    low, high = np.clip(start, 0, tile.shape), np.clip(stop, 0, tile.shape)
    strip = np.zeros(tuple(stop - start), tile.dtype)
    if (high > low).all():
        strip[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))] = tile[low[0] : high[0], low[1] : high[1]]
    return normalise(shrink(strip, factor))


def patch_starts(offset: Floats, shape: tuple[int, int]) -> tuple[NDArray[np.int64], int]:
    """First pixels (k, 2) of patches over the overlap, in the fixed tile, and their side. Empty if there is too little."""
    start, stop = common_box(offset, shape, -2)
    size = stop - start
    side = int(min(PATCH_PX, *size)) // 2 * 2
    if side < LEAST_PX - 4:
        return np.zeros((0, 2), int), 0
    counts = np.maximum(1, np.ceil(size / (0.75 * side)).astype(int))
    while counts.prod() > MOST_PATCHES:
        counts[counts.argmax()] -= max(1, counts.max() // 16)
    rows, columns = (np.linspace(a, b - side, n).round().astype(int) for a, b, n in zip(start, stop, counts, strict=True))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2), side


def match_shifted(fixed: NDArray[np.generic], moving: NDArray[np.generic], offset: Floats) -> tuple[Floats, Floats, Floats]:
    """Points, targets and their sigma from patches at a whole px offset, by correlation: from several px to about 0.1."""
    starts, side = patch_starts(offset, (fixed.shape[0], fixed.shape[1]))
    whole = np.rint(offset).astype(int)
    seen = ((starts - whole >= 0) & (starts - whole + side <= moving.shape)).all(axis=1)
    starts = starts[seen]
    if not len(starts):
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)
    window = taper((side, side), 0.5)
    still = _stack(fixed, starts, side)
    other = _stack(moving, starts - whole, side)
    shifts, snr = find_peaks(correlate(_centred(still) * window, _centred(other) * window, LIMIT), side / 3)
    middles = starts + (side - 1) / 2
    return middles, middles - whole + shifts, 1.0 / np.clip(snr - 4, 0.05, 10)


def match_through(
    fixed: NDArray[np.generic], moving: NDArray[np.generic], offset: Floats, onto: CoordinateMap
) -> tuple[Floats, Floats, Floats, Floats | None]:
    """Points, targets, their sigma and light from patches cut through ``onto`` (fixed px → moving px), known to a px or better."""
    starts, side = patch_starts(offset, (fixed.shape[0], fixed.shape[1]))
    middles = starts + (side - 1) / 2
    corners = np.array([[0, 0], [0, side - 1], [side - 1, 0], [side - 1, side - 1]])
    if not len(starts):
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), None
    lying = onto(starts[:, None] + corners)  # (k, 4, 2)
    seen = ((lying.min(axis=1) >= 0) & (lying.max(axis=1) <= np.array(moving.shape) - 1)).all(axis=1)
    starts, middles, lying = starts[seen], middles[seen], lying[seen]
    if not len(starts):
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), None
    still, other = _smooth_patches(fixed, starts, side), _seen_patches(moving, lying, side)
    shift, sigma = flow(still, other)
    down, across = _slopes(lying, side)
    targets = lying.mean(axis=1) + shift[:, :1] * down + shift[:, 1:] * across
    light = np.array([still.mean(), still.std(), other.mean(), other.std()], float)
    return middles, targets, sigma, light


def flow(fixed: Pixels, moving: Pixels) -> tuple[Floats, Floats]:
    """Shifts (k, 2) with ``moving(p + shift) ≈ fixed(p)`` of k pairs of patches (k, y, x) less than a px apart; their sigma (k,).

    Least squares of ``moving - fixed + shift · gradient`` under a window, the gradient that of both: exact to third order.
    """
    window = taper((fixed.shape[1], fixed.shape[2]), 0.5)
    a, b = (_standard(patches, window) for patches in (fixed, moving))
    down, across = np.gradient((a + b) / 2, axis=(1, 2))
    difference = b - a
    yy, xx, yx = (np.einsum("kij,kij,ij->k", p, q, window) for p, q in ((down, down), (across, across), (down, across)))
    y, x = (-np.einsum("kij,kij,ij->k", p, difference, window) for p in (down, across))
    det = np.maximum(yy * xx - yx**2, 1e-9)
    shift = np.stack([xx * y - yx * x, yy * x - yx * y], axis=1) / det[:, None]
    left = (
        np.einsum("kij,ij->k", (difference + shift[:, :1, None] * down + shift[:, 1:, None] * across) ** 2, window) / window.sum()
    )
    # smoothed noise is shared by some 4 π SMOOTH_PX² px
    sigma = np.sqrt(left * (yy + xx) / det * 4 * np.pi * SMOOTH_PX**2)
    far = np.hypot(*shift.T) > 1.5
    return np.where(far[:, None], np.clip(shift, -1.5, 1.5), shift).astype(float), np.where(far, 10 * sigma + 1, sigma).astype(
        float
    )


def _stack(tile: NDArray[np.generic], starts: NDArray[np.int64], side: int) -> Pixels:
    return np.stack([tile[y : y + side, x : x + side] for y, x in starts.tolist()]).astype(np.float32)


def _slopes(lying: Floats, side: int) -> tuple[Floats, Floats]:
    """(k, 2) each: by how much a place goes on with a px down and a px across a patch, from where its corners (k, 4, 2) lie."""
    down, across = (lying[:, 2:] - lying[:, :2]).mean(axis=1), (lying[:, 1::2] - lying[:, ::2]).mean(axis=1)
    return down / (side - 1), across / (side - 1)


def _smooth_patches(tile: NDArray[np.generic], starts: NDArray[np.int64], side: int) -> Pixels:
    """Patches (k, side, side) of the smoothed tile, which is smoothed where they are only."""
    smooth = np.empty((len(starts), side, side), np.float32)
    for which, low, high in _parts(starts - MARGIN_PX, starts + side + MARGIN_PX):
        smooth[which] = _stack(_smooth(tile[low[0] : high[0], low[1] : high[1]]), starts[which] - low, side)
    return smooth


def _seen_patches(tile: NDArray[np.generic], lying: Floats, side: int) -> Pixels:
    """Patches (k, side, side) of the smoothed tile, each seen through the affine that its corners ``lying`` (k, 4, 2) tell."""
    down, across = _slopes(lying, side)
    first = lying.mean(axis=1) - (down + across) * ((side - 1) / 2)
    ends = np.array([0.0, STRAIGHT_PX])
    nodes = first[:, None, None] + ends[:, None, None] * down[:, None, None] + ends[:, None] * across[:, None, None]
    seen = np.empty((len(lying), side, side), np.float32)
    reached = np.floor(lying.min(axis=1)).astype(int) - MARGIN_PX, np.ceil(lying.max(axis=1)).astype(int) + MARGIN_PX + 1
    for which, low, high in _parts(*reached):
        spline = Spline.of(_smooth(tile[low[0] : high[0], low[1] : high[1]]))
        seen[which] = [spline.seen_at(corners - low, STRAIGHT_PX, (side, side)) for corners in nodes[which]]
    return seen


def _parts(low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
    """Windows of a tile (first, last + 1 pixel) that hold what lies between ``low`` and ``high`` (k, 2), and which of the k: one
    for all, or one each where that is less."""
    low = np.maximum(low, 0)
    if (high.max(axis=0) - low.min(axis=0)).prod() <= (high - low).prod(axis=1).sum():
        yield slice(None), low.min(axis=0), high.max(axis=0)
        return
    for k in range(len(low)):
        yield slice(k, k + 1), low[k], high[k]


def _smooth(part: NDArray[np.generic]) -> Pixels:
    smooth: Pixels = ndimage.gaussian_filter(part.astype(np.float32), SMOOTH_PX)
    return smooth


def _centred(patches: Pixels) -> Pixels:
    centred: Pixels = patches - patches.mean(axis=(1, 2), keepdims=True)
    return centred


def _standard(patches: Pixels, window: Pixels) -> Pixels:
    """Mean 0 and spread 1 under the window: tiles differ in light and gain."""
    weight = window / window.sum()
    centred = patches - np.einsum("kij,ij->k", patches, weight)[:, None, None]
    spread = np.sqrt(np.einsum("kij,kij,ij->k", centred, centred, weight))
    standard: Pixels = centred / np.maximum(spread, 1e-3)[:, None, None]
    return standard
