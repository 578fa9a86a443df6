"""What a pair of sections of any size says of all its affines, window by window: memory goes by the window, not by the section.

Windows of `WINDOW_PX` tile the canvas; each compares the parts that it shows (`agreement`), and the sums of an affine add up.
Points are (y, x), px of the canvas; affines go from the canvas to the section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from emkit.align.agreement import agreement
from emkit.align.correlation import Pixels
from emkit.align.refining import Seen, eroded
from emkit.align.rendering import MARGIN_PX, part_shown
from emkit.align.solving import affine_basis
from emkit.transforms import Affine, Floats

WINDOW_PX = 2048
LEAST_PX = 64  # a window that shows less of a section, each way, tells nothing


@dataclass(frozen=True)
class PairSums:
    """Normal equations of the affine displacement of a pair's second section against its first (`affine_basis`), (6, 6) and
    (6,)."""

    normal: tuple[float, ...]
    pull: tuple[float, ...]

    @property
    def equations(self) -> tuple[Floats, Floats]:
        return np.array(self.normal).reshape(6, 6), np.array(self.pull)


def windows(shape: tuple[int, int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and shape (y, x) of equal windows, `WINDOW_PX` a side at most, that tile a canvas."""
    edges = [np.linspace(0, n, -(-n // WINDOW_PX) + 1).astype(int).tolist() for n in shape]
    for (top, bottom), (left, right) in product(*(zip(edge, edge[1:], strict=False) for edge in edges)):
        yield (top, left), (bottom - top, right - left)


def sums_of_pair(
    first: NDArray[np.generic], second: NDArray[np.generic], affines: tuple[Affine, Affine], shape: tuple[int, int]
) -> PairSums:
    """Of two sections (y, x) under their affines, over a canvas of ``shape``."""
    middle, size = (np.array(shape) - 1) / 2, max(shape) / 2
    normal, pull = np.zeros((6, 6)), np.zeros(6)
    for start, window in windows(shape):
        seen = [_seen(section, affine, start, window) for section, affine in zip((first, second), affines, strict=True)]
        if seen[0] is None or seen[1] is None:
            continue
        said = agreement(seen[0][0], seen[1][0], seen[0][1] * seen[1][1])
        more_normal, more_pull = affine_basis(said.moved(start), middle, size)
        normal += more_normal
        pull += more_pull
    return PairSums(tuple(normal.ravel().tolist()), tuple(pull.tolist()))


def _seen(
    section: NDArray[np.generic], affine: Affine, start: tuple[int, int], shape: tuple[int, int]
) -> tuple[Pixels, Pixels] | None:
    """The grey of a window and where it holds data, from the part of the section that it shows."""
    low, high = part_shown(section.shape, affine, start, shape, MARGIN_PX["cubic"])
    if (high - low < LEAST_PX).any():
        return None
    part = Seen.of(section[low[0] : high[0], low[1] : high[1]])
    mapping = Affine.translation(*-low).compose(affine)
    held = eroded(np.clip(part.held_spline.seen_through(mapping, start, shape), 0, 1))
    return part.spline.seen_through(mapping, start, shape), held
