"""Where all tiles of a section lie, from the points that pairs of them share: one sparse least squares problem.

Tile i lies at ``A_i(lens(p))``: an affine of its own near the identity, after a lens error that all share (`lens`). Unknown are the
shift and the four linear terms of each tile and the lens; each pair of points asks both tiles for the same place. Every unknown has
a prior, a normal distribution about "as the stage said, undistorted" with the widths below: what the points tell overrides it, what
they do not (where an island lies, the turn of a lone tile) stays as it was. Wrong points lose their say by iterated reweighting.

Points are (y, x), px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from emkit.align.lens import STRAIGHT, Lens, monomials
from emkit.align.overlaps import Overlap
from emkit.transforms import Affine, Floats

STAGE_PX = 100.0  # by how much the stage may err; for wrong priors to matter there must be no points
LINEAR_PX = (5.0, 0.5, 0.5, 0.5)  # at the edge of a tile: turn, growth, stretch, skew
LENS_PX = 3.0  # at the edge of a tile
FLOOR_PX = 0.02  # points are not surer than this: no lens is exactly of third degree
ROUNDS = 8
SETTLED = 0.01  # change of what a point has to say, of 1
TERMS = np.array([[[0, -1], [1, 0]], [[1, 0], [0, 1]], [[1, 0], [0, -1]], [[0, 1], [1, 0]]], float)  # of the linear part
OWN, SHARED = 6, 14  # unknowns of a tile, and of the lens


@dataclass(frozen=True)
class Tiling:
    """``affines[i]`` after ``lens`` maps px of tile i → world px. ``residual_px[k]`` are of the points of overlap k."""

    lens: Lens
    affines: tuple[Affine, ...]
    residual_px: tuple[Floats, ...]


def solve_tiles(shape: tuple[int, int], nominal: Floats, overlaps: Sequence[Overlap], lens: bool = True) -> Tiling:
    """Lay tiles of ``shape`` (y, x) whose first pixels the stage put at ``nominal`` (n, 2), world px."""
    count = len(nominal)
    straight = Lens(shape)
    prior = np.concatenate([np.tile([STAGE_PX, STAGE_PX, *LINEAR_PX], count), np.full(SHARED, LENS_PX if lens else 1e-9)]) ** -2
    if not any(len(one.points) for one in overlaps):
        return Tiling(straight, tuple(Affine.translation(*origin) for origin in nominal), (np.zeros(0),) * len(overlaps))
    fixed = np.concatenate([np.full(len(one.points), one.fixed) for one in overlaps])
    moving = np.concatenate([np.full(len(one.points), one.moving) for one in overlaps])
    points = np.concatenate([one.points for one in overlaps])
    targets = np.concatenate([one.targets for one in overlaps])
    weights = 1 / (np.concatenate([one.sigma_px for one in overlaps]) ** 2 + FLOOR_PX**2)
    design = _columns(straight, points, fixed, count) - _columns(straight, targets, moving, count)
    # as the stage said they lie so far apart
    apart = ((points + nominal[fixed]) - (targets + nominal[moving])).ravel()
    trust = np.ones(len(points))
    for _ in range(ROUNDS):
        weighted = design.T @ sparse.diags_array(np.repeat(weights * trust, 2))
        solution = spsolve((weighted @ design + sparse.diags_array(prior)).tocsc(), -(weighted @ apart))
        residual = np.hypot(*(apart + design @ solution).reshape(-1, 2).T)
        unlikely = residual * np.sqrt(weights)
        spread = max(1.0, 1.4826 * float(np.median(unlikely)))
        before, trust = trust, (1 + (unlikely / (2 * spread)) ** 2) ** -2
        if np.abs(trust - before).max() < SETTLED:
            break
    own = solution[: OWN * count].reshape(count, OWN)
    shared = solution[OWN * count :].reshape(7, 2).tolist() if lens else STRAIGHT
    solved = Lens(shape, tuple((y, x) for y, x in shared))
    middle, half = (np.array(shape) - 1) / 2, max(shape) / 2
    affines = []
    for origin, (y, x, *terms) in zip(nominal, own.tolist(), strict=True):
        linear = np.tensordot(terms, TERMS, 1) / half
        affines.append(Affine.of(np.eye(2) + linear, origin + (y, x) - linear @ middle))
    ends = np.cumsum([len(one.points) for one in overlaps])[:-1]
    return Tiling(solved, tuple(affines), tuple(np.split(residual, ends)))


def _columns(lens: Lens, points: Floats, tiles: Floats, count: int) -> sparse.csr_array:
    """(2k, unknowns): what each unknown moves points (k, 2) of ``tiles`` (k,) by, y and x in turn."""
    u = lens.relative(points)
    k = len(points)
    own = np.concatenate([np.broadcast_to(np.eye(2), (k, 2, 2)), np.einsum("tij,kj->kit", TERMS, u)], axis=2)  # (k, 2, 6)
    shared = np.einsum("km,ij->kimj", monomials(u), np.eye(2)).reshape(k, 2, SHARED)
    first = np.asarray(tiles, int)[:, None, None] * OWN + np.arange(OWN)
    columns = np.concatenate(
        [np.broadcast_to(first, (k, 2, OWN)), np.broadcast_to(count * OWN + np.arange(SHARED), shared.shape)], axis=2
    )
    rows = np.broadcast_to(np.arange(2 * k).reshape(k, 2, 1), columns.shape)
    values = np.concatenate([own, shared], axis=2)
    return sparse.csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(2 * k, count * OWN + SHARED))
