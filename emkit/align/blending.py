"""Pixels of a montage: the light of the tiles matched, and one faded into the next, so that no seam is seen.

The light of tile i is made ``gain_i · grey + offset_i``, so that both tiles of every overlap have one mean and contrast there; on
the average of all tiles nothing changes. Where tiles overlap each counts by its distance from its own edge, so that it fades out
before it ends. Windows of one output fit together, whatever their size. Axis order is (y, x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from emkit.align.correlation import Pixels
from emkit.align.overlaps import Overlap
from emkit.align.resampling import Spline
from emkit.transforms import CoordinateMap, Floats

FADE_PX = 64.0  # from the edge of a tile to where it counts in full; overlaps are seldom broader
GAIN_SIGMA, OFFSET_SIGMA = 0.3, 30.0  # by how much tiles may differ: lone tiles keep their light
LIGHT_SIGMA = 0.5  # grey levels
STEP_PX = 16  # between the points that a map is asked for: no lens bends in less
MARGIN_PX = 12  # a cubic spline forgets what is n px away as 0.27^n


@dataclass(frozen=True)
class Light:
    """What makes a tile as bright as the others: ``gain · grey + offset``."""

    gain: float = 1.0
    offset: float = 0.0


def match_light(count: int, overlaps: Sequence[Overlap]) -> tuple[Light, ...]:
    """The light of each of ``count`` tiles, by least squares over all overlaps.

    >>> dark = Overlap(0, 1, np.zeros(2), 9, *[np.zeros(0)] * 3, light=np.array([120.0, 40.0, 100.0, 40.0]))
    >>> [round(light.gain * mean + light.offset) for light, mean in zip(match_light(2, [dark]), (120, 100))]
    [110, 110]
    """
    lit = [(one.fixed, one.moving, one.light) for one in overlaps if one.light is not None and one.light[[1, 3]].min() > 0]
    ends = np.array([(i, j) for i, j, _ in lit], int).reshape(-1, 2)
    mean, spread, other_mean, other_spread = np.array([light for _, _, light in lit], float).reshape(-1, 4).T
    gains = np.exp(_balance(count, ends, np.log(other_spread / spread), GAIN_SIGMA, LIGHT_SIGMA / 30))
    apart = gains[ends[:, 1]] * other_mean - gains[ends[:, 0]] * mean
    offsets = _balance(count, ends, apart, OFFSET_SIGMA, LIGHT_SIGMA)
    return tuple(Light(gain, offset) for gain, offset in zip(gains.tolist(), offsets.tolist(), strict=True))


def _balance(count: int, ends: NDArray[np.int64], apart: Floats, prior: float, sigma: float) -> Floats:
    """One number a tile, small as ``prior`` says, whose first less second of each overlap is ``apart``."""
    pairs = np.arange(len(ends))
    values = np.concatenate([np.ones(len(ends)), -np.ones(len(ends))]) / sigma
    at = (np.concatenate([pairs, pairs]), np.concatenate([ends[:, 0], ends[:, 1]]))
    design = sparse.csr_array((values, at), shape=(len(ends), count))
    normal = design.T @ design + sparse.diags_array(np.full(count, prior**-2))
    balanced: Floats = np.atleast_1d(spsolve(normal.tocsc(), design.T @ (apart / sigma)))
    return balanced


def render_montage(
    read: Callable[[int], NDArray[Any]],
    shape: tuple[int, int],
    maps: Sequence[CoordinateMap],
    lights: Sequence[Light],
    start: tuple[int, int],
    size: tuple[int, int],
    dtype: str = "uint8",
) -> NDArray[Any]:
    """(y, x) pixels of ``size`` from world px ``start`` on; where no tile is, 0.

    ``read(i)`` gives tile i, of ``shape``, and is asked only for tiles that the window shows, one at a time. ``maps`` are tile px →
    world px.
    """
    total, weight = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for i, (to_world, light) in enumerate(zip(maps, lights, strict=True)):
        low, high = bounds(to_world, shape)
        first = np.maximum(np.floor(low).astype(int) - np.array(start), 0)
        last = np.minimum(np.ceil(high).astype(int) + 1 - np.array(start), size)
        if (last <= first).any():
            continue
        window = tuple(slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True))
        seen, share = _see(read(i), to_world.invert(), first + np.array(start), last + np.array(start))
        total[window] += share * (light.gain * seen + light.offset)
        weight[window] += share
    grey = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    if np.issubdtype(np.dtype(dtype), np.integer):
        limits = np.iinfo(dtype)
        grey = np.where(weight > 0, np.clip(np.rint(grey), limits.min, limits.max), 0)
    pixels: NDArray[Any] = grey.astype(dtype)
    return pixels


def bounds(to_world: CoordinateMap, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Least and greatest world px (y, x) of a tile, from its border."""
    down, across = (np.linspace(0, n - 1, 9) for n in shape)
    border = [[y, x] for y in down for x in (0, shape[1] - 1)] + [[y, x] for y in (0, shape[0] - 1) for x in across]
    lying = to_world(border)
    return lying.min(axis=0), lying.max(axis=0)


def _see(tile: NDArray[Any], back: CoordinateMap, start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[Pixels, Pixels]:
    """The tile at world px from ``start`` to before ``stop``, and how much each counts: 0 outside, rising from its edge on.

    The map is asked at whole multiples of `STEP_PX` of the world, the same for every window.
    """
    low = start // STEP_PX
    rows, columns = (np.arange(a, (b - 1) // STEP_PX + 2) * float(STEP_PX) for a, b in zip(low, stop, strict=True))
    nodes = back(np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1))
    down, across = (_between(n - a * STEP_PX, b - a * STEP_PX) for a, n, b in zip(low, start, stop, strict=True))
    inward = np.full(tuple(stop - start), np.inf, np.float32)
    for axis, length in enumerate(tile.shape):
        at = down @ nodes[..., axis].astype(np.float32) @ across.T
        np.minimum(inward, np.minimum(at, length - 1 - at) + 1, out=inward)
    rise = np.clip(inward / min(FADE_PX, min(tile.shape) / 4), 0, 1)
    share: Pixels = np.where(inward >= 1, rise * rise * (3 - 2 * rise), 0).astype(np.float32)
    if not share.any():
        return np.zeros_like(share), share
    first = np.clip(np.floor(nodes.min(axis=(0, 1))).astype(int) - MARGIN_PX, 0, tile.shape)
    last = np.clip(np.ceil(nodes.max(axis=(0, 1))).astype(int) + MARGIN_PX + 1, 0, tile.shape)
    part = Spline.of(tile[first[0] : last[0], first[1] : last[1]])
    height, width = (stop - low * STEP_PX).tolist()
    seen = part.seen_at(nodes - first, STEP_PX, (height, width))
    top, left = (start - low * STEP_PX).tolist()
    return seen[top:, left:], share


def _between(start: int, stop: int) -> Pixels:
    """(pixels, nodes): weights of linear interpolation for pixels ``start`` to before ``stop`` between nodes `STEP_PX` apart."""
    at = np.arange(start, stop) / STEP_PX
    weights: Pixels = np.maximum(0, 1 - np.abs(at[:, None] - np.arange((stop - 1) // STEP_PX + 2))).astype(np.float32)
    return weights
