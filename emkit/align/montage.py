"""Tiles of one section to one picture of it: match overlaps, solve for all places and the lens at once, match again through them.

A montage map takes px of its tile to px of the world, where the section lies whole: the one kind of map here that goes from the
input to the output. World px are those of the stage: ``nominal`` says where the stage put the first pixel of each tile. Points
are (y, x), px.

Tiles that overlap nobody, or whose overlaps do not match, form islands: each lies, as one body, where the stage put it, and is
named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from emkit.align import overlaps as over
from emkit.align.lens import Lens
from emkit.align.overlaps import Overlap
from emkit.align.tiling import Tiling, solve_tiles
from emkit.errors import ParameterError
from emkit.transforms import Affine, Chain, CoordinateMap, Floats

SEARCH = 0.05  # of the longer side of a tile: how far the stage may err from one tile to the next
LEAST_SEARCH_PX = 32
PASSES = 2  # through the maps; the second finds what the first left, some hundredths of a px
FEW = 3  # points that must agree for two tiles to be held together
GOOD_PX = 1.0


class Tiles(Protocol):
    """Number to tile (y, x), read when asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Any: ...


@dataclass(frozen=True)
class Montage(Sequence[CoordinateMap]):
    """One map a tile, tile px → world px; and how they were found.

    ``overlaps`` are the pairs that hold, ``failed`` those that should overlap and do not match, with their SNR. ``islands`` are the
    tiles that hold together, the largest first. ``swapped`` says that the stage's positions were (x, y) in truth.
    """

    shape: tuple[int, int]
    lens: Lens
    affines: tuple[Affine, ...]
    overlaps: tuple[Overlap, ...]
    residual_px: tuple[float, ...]  # median of each of the overlaps
    failed: tuple[tuple[int, int, float], ...]
    islands: tuple[tuple[int, ...], ...]
    swapped: bool

    def __len__(self) -> int:
        return len(self.affines)

    def __getitem__(self, i: Any, /) -> Any:
        return Chain((self.lens, self.affines[i]))

    def __iter__(self) -> Iterator[CoordinateMap]:
        return (self[i] for i in range(len(self)))

    def __str__(self) -> str:
        told = [f"{len(self)} tiles, {len(self.overlaps)} overlaps, median residual {np.median(self.residual_px or [0.0]):.2f} px"]
        if self.swapped:
            told.append("The positions were given as (x, y): the tiles match where they are read so.")
        told += [f"Tiles {i} and {j} should overlap but do not match (SNR {snr:.1f})" for i, j, snr in self.failed]
        for island in self.islands[1:]:
            told.append(f"Tiles {', '.join(map(str, island))} hold to no others: placed by stage position")
        return "\n".join(told)


def solve_montage(tiles: Tiles, nominal: ArrayLike, *, search_px: int | None = None, lens: bool = True) -> Montage:
    """Where each tile lies in the world: one map a tile, tile px → world px.

    ``tiles[i]`` (y, x) all of one shape, read two at a time; ``nominal`` (n, 2) the world px (y, x) of each tile's first pixel,
    right to ``search_px`` from tile to tile (left out: a twentieth of the tile, 32 px at least). ``lens`` solves for a lens
    error that all tiles share. ParameterError if shapes or numbers differ.
    """
    origins = np.asarray(nominal, float)
    shape = check_tiles(tiles, origins)
    found, swapped = find_neighbours(tiles, origins, shape, reach_px(shape, search_px))
    if swapped:
        origins = origins[:, ::-1]
    matched = []
    for i, j, offset, snr in found:
        if snr >= over.SURE_SNR:
            matched.append(Overlap(i, j, offset, snr, *over.match_shifted(tiles[i], tiles[j], offset)))
    tiling = solve_tiles(shape, origins, matched, lens)
    for _ in range(PASSES):
        matched = [rematch(tiles[one.fixed], tiles[one.moving], one, tiling) for one in matched]
        tiling = solve_tiles(shape, origins, matched, lens)
    return settle(shape, matched, tiling, found, swapped)


def check_tiles(tiles: Tiles, nominal: Floats) -> tuple[int, int]:
    """The shape (y, x) of all tiles."""
    if nominal.shape != (len(tiles), 2) or not len(tiles):
        raise ParameterError(
            f"nominal: found the shape {nominal.shape} for {len(tiles)} tiles; needed: (y, x) for each of one or more."
        )
    if not np.isfinite(nominal).all():
        raise ParameterError(
            f"nominal: tile {int(np.argwhere(~np.isfinite(nominal))[0, 0])} has no finite position; needed: (y, x) px."
        )
    shapes = {tuple(np.shape(tiles[i])) for i in range(len(tiles))}
    shape = shapes.pop()
    if shapes or len(shape) != 2:
        raise ParameterError(
            f"tiles: found the shapes {', '.join(map(str, sorted({*shapes, shape})))}; needed: one shape (y, x) for all."
        )
    return shape


def reach_px(shape: tuple[int, int], search_px: int | None) -> int:
    """How far the stage may err from one tile of ``shape`` to the next."""
    return max(LEAST_SEARCH_PX, round(SEARCH * max(shape))) if search_px is None else search_px


def strip_pixels(nominal: ArrayLike, shape: tuple[int, int], search_px: int | None = None) -> int:
    """How many pixels of a tile are compared at once at most."""
    origins, reach = np.asarray(nominal, float), reach_px(shape, search_px)
    boxes = (over.common_box(origins[j] - origins[i], shape, reach) for i, j in neighbours(origins, shape))
    return max((int((stop - start).prod()) for start, stop in boxes), default=0)


def neighbours(nominal: Floats, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Pairs of tiles that overlap by `over.LEAST_PX` each way where the stage put them."""
    room = np.array(shape) - over.LEAST_PX
    return [(i, j) for i, j in combinations(range(len(nominal)), 2) if (np.abs(nominal[j] - nominal[i]) <= room).all()]


Neighbour = tuple[int, int, Floats, float]  # fixed, moving, offset, SNR


def find_neighbours(tiles: Tiles, nominal: Floats, shape: tuple[int, int], reach: int) -> tuple[list[Neighbour], bool]:
    """The coarse match of each pair that should overlap; and whether the positions had to be read as (x, y) for that."""
    found = [(i, j, *over.find_offset(tiles[i], tiles[j], nominal[j] - nominal[i], reach)) for i, j in neighbours(nominal, shape)]
    sure = sum(snr >= over.SURE_SNR for *_, snr in found)
    if len(tiles) < 2 or 2 * sure >= max(len(found), 1):
        return found, False
    turned = nominal[:, ::-1]
    other = [(i, j, *over.find_offset(tiles[i], tiles[j], turned[j] - turned[i], reach)) for i, j in neighbours(turned, shape)]
    better = sum(snr >= over.SURE_SNR for *_, snr in other) > 2 * sure
    return (other, True) if better else (found, False)


def rematch(fixed: NDArray[np.generic], moving: NDArray[np.generic], one: Overlap, tiling: Tiling) -> Overlap:
    """The overlap anew, its patches cut through the maps so far."""
    to_world = tiling.affines[one.fixed].compose(tiling.lens)
    back = tiling.affines[one.moving].compose(tiling.lens).invert()
    onto = back.compose(to_world)
    middle = np.mean(over.common_box(one.offset, (fixed.shape[0], fixed.shape[1])), axis=0)  # farther out the lens is not known
    offset = middle - onto(middle)
    matched = over.match_through(fixed, moving, offset, onto)
    return Overlap(one.fixed, one.moving, offset, one.snr, *matched)


def settle(
    shape: tuple[int, int], matched: Sequence[Overlap], tiling: Tiling, found: Sequence[Neighbour], swapped: bool
) -> Montage:
    """The montage, with the overlaps that hold told from those that fail, and islands."""
    count = len(tiling.affines)
    holds = [
        int((residual < GOOD_PX).sum()) >= min(FEW, max(1, len(residual))) and len(residual) > 0 for residual in tiling.residual_px
    ]
    kept = [k for k, good in enumerate(holds) if good]
    together = {(matched[k].fixed, matched[k].moving) for k in kept}
    failed = tuple((i, j, snr) for i, j, _, snr in found if (i, j) not in together)
    ends = np.array(sorted(together), int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    total, island = connected_components(graph, directed=False)
    islands = sorted((tuple(np.flatnonzero(island == k).tolist()) for k in range(total)), key=lambda one: (-len(one), one))
    medians = tuple(float(np.median(tiling.residual_px[k])) for k in kept)
    return Montage(shape, tiling.lens, tiling.affines, tuple(matched[k] for k in kept), medians, failed, tuple(islands), swapped)
