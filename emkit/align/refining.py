"""From a map that is nearly right to one that is right to a fraction of a pixel, by the whole overlap at once (`agreement`).

The moving section is seen through the map so far, compared with the fixed one, and the map improved by what they say, some
times. An elastic map begins stiff on shrunken sections, whose long waves see far, and ends at full resolution. Points are (y,
x), px.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align.agreement import Agreement, agreement
from emkit.align.correlation import BLOCK_PX, Pixels, shrink, spread_blocks
from emkit.align.resampling import Spline, nodes_of
from emkit.align.solving import best_affine, best_spline, spline_size
from emkit.transforms import Affine, CoordinateMap, Elastic, Floats

ROUNDS = 3
SETTLED_PX = 0.3  # a step of less is the last: what it leaves is a tenth of it
FAR_PX = 6.0  # an affine that goes further has lost its way: it began within a px or two
SPACING_PX = 40.0  # between the coefficients of an elastic map
STIFFNESS = 10.0  # natural units (`solving`): a flat optimum for fields of 4 px rms that change over some 100 px
PASSES = (
    (4, 0.16),
    (4, np.inf),
    (4, np.inf),
    (2, np.inf),
    (2, np.inf),
    (1, np.inf),
    (1, np.inf),
    (1, np.inf),
)  # shrink, limit (cycles a px of it)


@dataclass(frozen=True)
class Seen:
    """A section made ready to be compared: its grey about 0, and where it holds data, (y, x)."""

    grey: Pixels
    held: Pixels
    spline: Spline
    held_spline: Spline

    @classmethod
    def of(cls, image: NDArray[np.generic], factor: int = 1) -> Seen:
        """Of a section (y, x), shrunk by ``factor``; pixels of value 0 are no data."""
        held = (image != 0).astype(np.float32)
        grey = image.astype(np.float32)
        grey -= np.float32(grey.sum(dtype=float) / max(held.sum(dtype=float), 1))
        grey *= held
        grey, held = shrink(grey, factor), shrink(eroded(held), factor)
        return cls(grey, held, Spline.of(grey), Spline.of(held))

    def shrunk(self, factor: int) -> Seen:
        if factor == 1:
            return self
        grey, held = shrink(self.grey, factor), shrink(self.held, factor)
        return Seen(grey, held, Spline.of(grey), Spline.of(held))


def eroded(held: Pixels) -> Pixels:
    """1 well inside what is held, falling to 0 at its edges; single pixels that are missing (or black) are nothing."""
    blocks = 2 * ndimage.uniform_filter(shrink(held, BLOCK_PX), 3) - 1
    return spread_blocks(np.clip(blocks, 0, 1, out=blocks), held.shape)


def compare(fixed: Seen, moving: Seen, mapping: CoordinateMap, factor: int = 1, limit: float = np.inf) -> Agreement:
    """What both, shrunk by ``factor``, say of the displacement that should come before ``mapping`` (fixed px to moving px).

    Points, gradients and curvatures are of px of the full resolution.
    """
    shape = (fixed.grey.shape[0], fixed.grey.shape[1])
    nodes, step = nodes_of(mapping, (0, 0), shape, factor)
    seen = np.clip(moving.held_spline.seen_at(nodes, step, shape), 0, 1)
    return agreement(fixed.grey, moving.spline.seen_at(nodes, step, shape), fixed.held * eroded(seen), limit).enlarged(factor)


def refine_affine(fixed: Seen, moving: Seen, start: Affine) -> Affine:
    """The affine near ``start`` (fixed px to moving px) under which they agree best; ``start`` where they lead astray."""
    height, width = fixed.grey.shape
    edges = np.array([[0, 0], [0, width], [height, 0], [height, width]], float)
    affine = start
    for _ in range(ROUNDS):
        last, affine = affine, affine.compose(best_affine(compare(fixed, moving, affine)))
        moved = affine.apply(edges)
        if not np.abs(moved - start.apply(edges)).max() < FAR_PX:
            return start
        if np.abs(moved - last.apply(edges)).max() < SETTLED_PX:
            break
    return affine


def refine_elastic(fixed: Seen, moving: Seen, start: Affine, stiffness: float = STIFFNESS) -> Elastic:
    """The elastic map near ``start`` (fixed px to moving px) under which they agree best."""
    shape = (fixed.grey.shape[0], fixed.grey.shape[1])
    mapping = Elastic(start, np.zeros((*spline_size(shape, SPACING_PX), 2)), SPACING_PX)
    ready: dict[int, tuple[Seen, Seen]] = {}
    for factor, limit in PASSES:
        if factor not in ready:
            ready = {factor: (fixed.shrunk(factor), moving.shrunk(factor))}
        said = compare(*ready[factor], mapping, factor, limit)
        coefficients: Floats = best_spline(said, mapping.coefficients, SPACING_PX, stiffness)
        mapping = replace(mapping, coefficients=coefficients)
    return mapping
