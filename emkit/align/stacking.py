"""A stack refined as a whole: what every two near sections say of each other, solved for all sections at once.

Sections are seen through their maps so far on one canvas, where each pair tells of the displacement between its two
(`agreement`). The next displacement of all sections maximises the sum of the pairs. Only differences of displacements are told,
so nothing can shrink the stack: a common map is free, and the smallest step keeps it where it was. Pairs further apart share
less and say less, by themselves.

Points are (y, x), px of the canvas; maps go from the canvas to the section.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from emkit.align.agreement import Agreement, agreement
from emkit.align.refining import PASSES, SPACING_PX, STIFFNESS, Seen, eroded
from emkit.align.resampling import nodes_of
from emkit.align.solving import LEAST, affine_basis, affine_from, best_spline, spline_displacement, spline_size
from emkit.transforms import Affine, CoordinateMap, Elastic, Floats

ROUNDS = 2
SWEEPS = 2
APART = 2  # places in the list of sections that a pair may span

Pair = tuple[int, int]
Says = Callable[[Sequence[Pair], Sequence[CoordinateMap], int, float], Mapping[Pair, Agreement]]


def near_pairs(sections: Sequence[int]) -> list[Pair]:
    """Neighbours among ``sections`` and those with one between."""
    return [(i, j) for k, i in enumerate(sections) for j in sections[k + 1 : k + 1 + APART]]


def trusted_pairs(linked: Sequence[int], links: Sequence[tuple[int, int, Affine]], flagged: Sequence[Pair]) -> list[Pair]:
    """Pairs of ``linked`` sections that are compared to refine them: near ones and those matched, but for the flagged."""
    held = set(linked)
    matched = {(i, j) for i, j, _ in links if i in held and j in held}
    return sorted((matched | set(near_pairs(linked))) - set(flagged))


def compare_on_canvas(
    first: Seen, second: Seen, maps: tuple[CoordinateMap, CoordinateMap], shape: tuple[int, int], factor: int, limit: float
) -> Agreement:
    """What two sections, shrunk by ``factor``, say on the canvas of ``shape`` of the second's displacement against the first's."""
    small = (shape[0] // factor, shape[1] // factor)
    greys, held = [], []
    for seen, mapping in zip((first, second), maps, strict=True):
        nodes, step = nodes_of(mapping, (0, 0), small, factor)
        greys.append(seen.spline.seen_at(nodes, step, small))
        held.append(eroded(np.clip(seen.held_spline.seen_at(nodes, step, small), 0, 1)))
    return agreement(greys[0], greys[1], held[0] * held[1], limit).enlarged(factor)


def refine_affines(affines: Sequence[Affine], pairs: Sequence[Pair], says: Says, shape: tuple[int, int]) -> tuple[Affine, ...]:
    """Better affines for all sections that ``pairs`` name; ``says`` compares pairs under given maps."""
    maps = list(affines)
    for _ in range(ROUNDS):
        steps = best_affines(len(maps), says(pairs, maps, 1, np.inf), shape)
        maps = [affine.compose(step) for affine, step in zip(maps, steps, strict=True)]
    return tuple(maps)


def best_affines(count: int, said: Mapping[Pair, Agreement], shape: tuple[int, int]) -> list[Affine]:
    """For each section ``p -> p + d(p)`` with the affine d that all pairs together agree on best."""
    middle, size = (np.array(shape) - 1) / 2, max(shape) / 2
    return solve_affines(count, {pair: affine_basis(found, middle, size) for pair, found in said.items()}, shape)


def solve_affines(count: int, said: Mapping[Pair, tuple[Floats, Floats]], shape: tuple[int, int]) -> list[Affine]:
    """The same from the normal equations of each pair: one sparse solve, banded in z, so its cost goes by the number of
    sections."""
    middle, size = (np.array(shape) - 1) / 2, max(shape) / 2
    rows, columns, values = [], [], []
    pull, told = np.zeros((count, 6)), 0.0
    corner = np.indices((6, 6)).reshape(2, -1)
    for (i, j), (normal, gradient) in said.items():
        told += float(np.trace(normal))
        pull[j] += gradient
        pull[i] -= gradient
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            rows.append(6 * a + corner[0])
            columns.append(6 * b + corner[1])
            values.append(sign * normal.ravel())
    if not values:
        return [Affine()] * count
    still = sparse.eye_array(6 * count) * (LEAST * told / len(said))  # the smallest step: the common map stays where it was
    at = (np.concatenate(rows), np.concatenate(columns))
    normal_all = sparse.coo_array((np.concatenate(values), at), shape=(6 * count, 6 * count)) + still
    steps = splu(sparse.csc_array(normal_all)).solve(pull.ravel()).reshape(count, 2, 3)
    return [affine_from(step, middle, size) for step in steps]


def refine_elastics(
    affines: Sequence[Affine], pairs: Sequence[Pair], says: Says, shape: tuple[int, int], stiffness: float = STIFFNESS
) -> tuple[Elastic, ...]:
    """Elastic maps that begin as ``affines``, from stiff and shrunken to full resolution, for all sections that ``pairs`` name."""
    still = np.zeros((*spline_size(shape, SPACING_PX), 2))
    maps = [Elastic(affine, still, SPACING_PX) for affine in affines]
    for factor, limit in PASSES:
        solved = best_splines({z: one.coefficients for z, one in enumerate(maps)}, says(pairs, maps, factor, limit), stiffness)
        maps = [replace(one, coefficients=solved[z]) for z, one in enumerate(maps)]
    return tuple(maps)


def nearest(linked: Sequence[int], z: int) -> list[int]:
    """``z`` if it is one of the ``linked`` sections, which ascend; else the one before and the one after it; all but in vain."""
    k = bisect_left(linked, z)
    return [z] if z in linked[k : k + 1] else [*linked[max(k - 1, 0) : k], *linked[k : k + 1]]


def best_splines(
    before: Mapping[int, Floats],
    said: Mapping[Pair, Agreement],
    stiffness: float,
    spacing_px: float = SPACING_PX,
    still: int | None = None,
) -> dict[int, Floats]:
    """Coefficients of sections, solved section by section with the others held, up and down the stack `SWEEPS` times.

    Each is pulled to where its pairs have it, against its own stiffness, but the one that is ``still``; one way through passes news
    on to the end.
    """
    after = dict(before)
    of: dict[int, list[tuple[int, int, Pair]]] = {}
    for i, j in said:
        of.setdefault(i, []).append((j, -1, (i, j)))
        of.setdefault(j, []).append((i, 1, (i, j)))
    order = sorted(of.keys() - {still})
    for z in (order + order[-2::-1]) * SWEEPS:
        points = said[of[z][0][2]].points
        gradient, curvature = np.zeros_like(points), np.zeros((len(points), 2, 2))
        for other, sign, pair in of[z]:
            # the other has moved since the two were compared: less, or more, is left for this one
            found = said[pair]
            moved = spline_displacement(found.points, after[other] - before[other], spacing_px)
            gradient += sign * found.gradient + np.einsum("kab,kb->ka", found.curvature, moved)
            curvature += found.curvature
        whole = Agreement(points, gradient, curvature, found.coherence)
        after[z] = best_spline(whole, before[z], spacing_px, stiffness)
    return after
