"""What a pair of sections of any size says of all its maps, window by window: memory goes by the window, not by the section.

Windows of `WINDOW_PX` tile the canvas; each compares the parts that it shows (`agreement`). Of an affine the sums add up, and some
`AFFINE_ACROSS`² windows of half the side, spread over a large canvas, tell it well enough: what they leave of it is some hundredths
of a px, less than sections bend by. What bends is kept cell by cell, and windows then overlap, since each is blind at its edge.
Points are (y, x), px of the canvas; maps go from the canvas to the section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from emkit.align.agreement import BLOCK_PX, Agreement, agreement
from emkit.align.correlation import Pixels
from emkit.align.refining import Seen, eroded
from emkit.align.rendering import MARGIN_PX, part_shown
from emkit.align.resampling import nodes_of
from emkit.align.solving import affine_basis
from emkit.transforms import Affine, CoordinateMap, Floats

WINDOW_PX = 2048
AFFINE_ACROSS = 4
LEAST_PX = 64  # a window that shows less of a section, each way, tells nothing
CELL_PX = 16  # less than half of what lies between coefficients of an elastic map: twice as large, it is a twentieth less exact
BLIND_PX = 64  # at the edges of a window
TERMS = 5  # of a cell: gradient y, x; curvature yy, yx, xx

Section = NDArray[np.generic]


@dataclass(frozen=True)
class PairSums:
    """Normal equations of the affine displacement of a pair's second section against its first (`affine_basis`), (6, 6) and
    (6,)."""

    normal: tuple[float, ...]
    pull: tuple[float, ...]

    @property
    def equations(self) -> tuple[Floats, Floats]:
        return np.array(self.normal).reshape(6, 6), np.array(self.pull)


def windows(shape: tuple[int, int], multiple: int = 1, shrunk: int = 1) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Start and shape (y, x) of nearly equal windows that tile a canvas, `WINDOW_PX` a side of sections that are ``shrunk``, or a
    little more so that each begins at a ``multiple``."""
    edges = []
    for n in shape:
        inner = np.linspace(0, n, -(-n // (WINDOW_PX * shrunk)) + 1)[:-1] // multiple * multiple
        edges.append([*inner.astype(int).tolist(), n])
    for (top, bottom), (left, right) in product(*(zip(edge, edge[1:], strict=False) for edge in edges)):
        yield (top, left), (bottom - top, right - left)


def spread_windows(shape: tuple[int, int], shrunk: int = 1) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The same, or windows of half the side that lie apart where they would be fewer pixels: from one edge of the canvas to the
    other."""
    side = WINDOW_PX * shrunk // 2
    if prod(shape) <= (AFFINE_ACROSS * side) ** 2 or min(shape) < side:
        yield from windows(shape, shrunk, shrunk)
        return
    starts = [np.linspace(0, n - side, AFFINE_ACROSS).astype(int) // shrunk * shrunk for n in shape]
    for top, left in product(*(at.tolist() for at in starts)):
        yield (top, left), (side, side)


def sums_of_pair(
    first: Section, second: Section, affines: tuple[Affine, Affine], shape: tuple[int, int], shrunk: int = 1
) -> PairSums:
    """Of two sections (y, x), ``shrunk`` already, under their affines, over a canvas of ``shape``. Maps and canvas are in px as
    imaged."""
    middle, size = (np.array(shape) - 1) / 2, max(shape) / 2
    normal, pull = np.zeros((6, 6)), np.zeros(6)
    for start, window in spread_windows(shape, shrunk):
        if said := _agreement_within((first, second), affines, start, window, shrunk, shrunk):
            more_normal, more_pull = affine_basis(said.moved(start), middle, size)
            normal += more_normal
            pull += more_pull
    return PairSums(tuple(normal.ravel().tolist()), tuple(pull.tolist()))


def cell_px(factor: int, shrunk: int = 1) -> int:
    """The side, px as imaged, of the cells of sections that are ``shrunk``, and then by ``factor``."""
    return max(CELL_PX, BLOCK_PX * factor) * shrunk


def cells_of_pair(
    first: Section,
    second: Section,
    maps: tuple[CoordinateMap, CoordinateMap],
    shape: tuple[int, int],
    factor: int = 1,
    limit: float = np.inf,
    shrunk: int = 1,
) -> Pixels:
    """(rows, columns, `TERMS`) of two sections (y, x), ``shrunk`` already, and by ``factor``, under maps and on a canvas of
    ``shape`` in px as imaged.

    Cells are `cell_px` a side; `agreement_of_cells` reads them.
    """
    side, factor = cell_px(factor, shrunk), factor * shrunk
    cells = np.zeros((-(-shape[0] // side), -(-shape[1] // side), TERMS), np.float32)
    blind = BLIND_PX * factor
    for start, size in windows(shape, side, shrunk):
        begin = (max(start[0] - blind, 0), max(start[1] - blind, 0))
        end = (min(start[0] + size[0] + blind, shape[0]), min(start[1] + size[1] + blind, shape[1]))
        wide = (end[0] - begin[0], end[1] - begin[1])
        if (said := _agreement_within((first, second), maps, begin, wide, factor, shrunk, limit)) is None:
            continue
        found = _summed(said, (wide[0] // factor, wide[1] // factor), side // (BLOCK_PX * factor))
        (top, left), (down, right) = ((at[0] // side, at[1] // side) for at in (start, begin))
        rows, columns = -(-size[0] // side), -(-size[1] // side)
        part = found[top - down :, left - right :][:rows, :columns]
        cells[top : top + part.shape[0], left : left + part.shape[1]] = part
    return cells


def agreement_of_cells(cells: Pixels, side: int) -> Agreement:
    """Of cells (rows, columns, `TERMS`), ``side`` px each, the first of which begins at px 0."""
    rows, columns, _ = cells.shape
    middles = np.moveaxis(np.indices((rows, columns), np.float64), 0, -1).reshape(-1, 2) * side + (side - 1) / 2
    terms = cells.reshape(-1, TERMS).astype(np.float64)
    return Agreement(middles, terms[:, :2], terms[:, [2, 3, 3, 4]].reshape(-1, 2, 2), np.zeros(0))


def _summed(said: Agreement, small: tuple[int, int], times: int) -> Floats:
    """Blocks of images of the shape ``small`` as cells of ``times``² blocks."""
    blocks = (-(-small[0] // BLOCK_PX), -(-small[1] // BLOCK_PX))
    terms = np.column_stack([said.gradient, said.curvature.reshape(-1, 4)[:, [0, 1, 3]]]).reshape(*blocks, TERMS)
    for axis in (0, 1):
        terms = np.add.reduceat(terms, np.arange(0, blocks[axis], times), axis=axis)
    return terms


def _agreement_within(
    sections: tuple[Section, Section],
    maps: tuple[CoordinateMap, CoordinateMap],
    start: tuple[int, int],
    shape: tuple[int, int],
    factor: int,
    shrunk: int,
    limit: float = np.inf,
) -> Agreement | None:
    """What they say, ``shrunk`` already and then so that it is by ``factor``, in a window of the canvas, at points counted from its
    ``start``; None where one shows too little."""
    first, second = (_seen(section, mapping, start, shape, factor, shrunk) for section, mapping in zip(sections, maps, strict=True))
    if first is None or second is None:
        return None
    return agreement(first[0], second[0], first[1] * second[1], limit).enlarged(factor)


def _seen(
    section: Section, mapping: CoordinateMap, start: tuple[int, int], shape: tuple[int, int], factor: int, shrunk: int
) -> tuple[Pixels, Pixels] | None:
    """The grey of a window, shrunk, and where it holds data, from the part of the section that it shows."""
    small = (shape[0] // factor, shape[1] // factor)
    nodes, step = nodes_of(mapping, start, small, factor)
    more = factor // shrunk
    low, high = part_shown((section.shape[0] // more, section.shape[1] // more), nodes, MARGIN_PX["cubic"])
    if ((high - low) * more < LEAST_PX).any():
        return None
    part = Seen.of(section[low[0] * more : high[0] * more, low[1] * more : high[1] * more], more)
    held = eroded(np.clip(part.held_spline.seen_at(nodes - low, step, small), 0, 1))
    return part.spline.seen_at(nodes - low, step, small), held
