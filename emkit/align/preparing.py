"""Sections made ready to be matched: what is no tissue is left out, contrast is evened, detail that is not needed is averaged away.

What is rendered is the section as it was imaged; only matching sees these. Images are (y, x); a value of 0 is no data, before and
after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.align.correlation import Pixels, normalise, shrink
from emkit.align.options import MatchOptions
from emkit.align.pairs import Match

Contrast = Literal["as-imaged", "normalised", "clahe"]
TILE_PX, CLIP = 128, 3.0  # a tile of the equalisation; how steep it gets, as a multiple of an even histogram
SLAB_TILES = 4  # rows of tiles that are held at once
TINY = float(np.finfo(np.float32).tiny)  # a pixel that is known is not 0
MIDDLE, SPREAD = 128.0, 40.0  # grey levels of a section of mean 0 and contrast 1


@dataclass(frozen=True)
class Preparing:
    """``downscale``: by how much px are averaged. ``artefacts``: grey values below and above which a pixel is no data."""

    contrast: Contrast = "as-imaged"
    artefacts: tuple[float, float] | None = None
    downscale: int = 1

    def of(self, section: NDArray[np.generic]) -> NDArray[Any]:
        """The section as it is matched: uint8 where contrast is evened, else of its own dtype."""
        held = np.asarray(section != 0)
        if self.artefacts:
            held &= (section >= np.asarray(self.artefacts[0])) & (section <= np.asarray(self.artefacts[1]))
        weight = shrink(held.astype(np.float32), self.downscale)
        grey: Pixels = shrink(np.where(held, section, 0).astype(np.float32), self.downscale)
        grey /= np.maximum(weight, 1e-6)
        known = weight >= 0.5
        if self.contrast == "normalised":
            grey = (MIDDLE + SPREAD * normalise(np.where(known, np.maximum(grey, TINY), 0))).astype(np.float32)
        elif self.contrast == "clahe":
            grey = equalise(grey, known)
        dtype: np.dtype[Any] = section.dtype.newbyteorder("=") if self.contrast == "as-imaged" else np.dtype(np.uint8)
        if dtype.kind in "iu":
            grey = np.clip(np.rint(grey), 1, np.iinfo(dtype).max)
        prepared: NDArray[Any] = np.where(known, grey, 0).astype(dtype)
        return prepared

    def shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Of a section that is prepared."""
        return shape[0] // self.downscale, shape[1] // self.downscale

    def options(self, asked: MatchOptions) -> MatchOptions:
        """In px of prepared sections, from px as imaged."""
        middle, k = (self.downscale - 1) / 2, self.downscale
        points = tuple(((a - middle) / k, (b - middle) / k, (c - middle) / k, (d - middle) / k) for a, b, c, d in asked.points)
        reach = None if asked.max_shift_px is None else asked.max_shift_px / k
        return MatchOptions(asked.window_px, asked.whitening, asked.clobber_px / k, reach, points)

    def match(self, found: Match) -> Match:
        """In px as imaged, from px of prepared sections; its window stays as it was."""
        return replace(found, affine=found.affine.enlarged(self.downscale), residual_px=found.residual_px * self.downscale)


def equalise(grey: Pixels, known: NDArray[np.bool_]) -> Pixels:
    """Grey 1 to 255 by contrast-limited adaptive histogram equalisation (Zuiderveld 1994), of the pixels that are ``known``.

    Each tile of some `TILE_PX` has its own curve, no steeper than `CLIP`; between the middles of tiles curves are interpolated.
    """
    if not known.any():
        return np.zeros_like(grey)
    low, high = np.percentile(grey[known][:: max(1, grey.size // 1_000_000)], (0.1, 99.9))
    level = np.clip((grey - low) * (255 / max(float(high - low), 1e-6)), 0, 255).astype(np.uint8)
    counts = [max(1, round(n / TILE_PX)) for n in grey.shape]
    edges = [np.linspace(0, n, count + 1).astype(int) for n, count in zip(grey.shape, counts, strict=True)]
    curves = np.array([[_curve(level[a:b, c:d], known[a:b, c:d]) for c, d in _spans(edges[1])] for a, b in _spans(edges[0])])
    left, across = _between(edges[1])
    below, down = _between(edges[0])
    equal = np.empty(grey.shape, np.float32)
    for start in range(0, grey.shape[0], SLAB_TILES * TILE_PX):
        rows = slice(start, start + SLAB_TILES * TILE_PX)
        top, v, now = below[rows, None], down[rows, None], level[rows]
        bottom, right = np.minimum(top + 1, counts[0] - 1), np.minimum(left + 1, counts[1] - 1)
        upper = curves[top, left, now] * (1 - across) + curves[top, right, now] * across
        lower = curves[bottom, left, now] * (1 - across) + curves[bottom, right, now] * across
        equal[rows] = upper * (1 - v) + lower * v
    return equal


def _curve(level: NDArray[np.uint8], known: NDArray[np.bool_]) -> Pixels:
    """(256,) from 1 to 255: the share of pixels up to a level, what is clipped of the histogram spread over all levels."""
    histogram = np.bincount(level[known], minlength=256).astype(float)
    total = histogram.sum()
    if not total:
        return np.linspace(1, 255, 256, dtype=np.float32)
    clipped = np.minimum(histogram, CLIP * total / 256)
    clipped += (total - clipped.sum()) / 256
    curve: Pixels = (1 + 254 * np.cumsum(clipped) / total).astype(np.float32)
    return curve


def _spans(edges: NDArray[np.int_]) -> list[tuple[int, int]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _between(edges: NDArray[np.int_]) -> tuple[NDArray[np.intp], Pixels]:
    """For each pixel the tile whose middle is before it, and how far it is on to the next."""
    middles = (edges[:-1] + edges[1:] - 1) / 2
    at = np.interp(np.arange(edges[-1]), middles, np.arange(len(middles)))
    first = np.minimum(at.astype(np.intp), max(len(middles) - 2, 0))
    return first, (at - first).astype(np.float32)
