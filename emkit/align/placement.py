"""Where every section lies in the common space, from matches of pairs.

The *affine of a section* maps common px → section px. The middle section of the largest linked run sets scale and shear; the others
follow along links, so no error is smoothed away and nothing can shrink: there is no solve that could prefer a smaller stack.
Then the whole stack is turned and shifted as one body so that sections stay, on average, where they were imaged.

A section without a link lies between its placed neighbours by interpolation; a run cut off from the rest
keeps its inner alignment and goes on where the rest ended. Points are (y, x), px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from emkit.transforms import Affine, Floats

SPAN = 4  # steps of the chain that a bridge may pass: sections further apart share too little

Canvas = Literal["source", "all"]
Link = tuple[int, int, Affine]  # fixed, moving, fixed px → moving px


@dataclass(frozen=True)
class Placement:
    """``affines[z]`` maps canvas px → section px; ``shape`` (y, x) is the canvas.

    ``linked[z]`` is False where the section was interpolated, or its run joined unseen.
    """

    affines: tuple[Affine, ...]
    linked: tuple[bool, ...]
    shape: tuple[int, int]


def section_depths(numbers: Sequence[int | None], gaps: Sequence[int]) -> list[int]:
    """At which thickness of the block each section lies: by its number where numbers are missing, else one after the other."""
    known = [number for number in numbers if number is not None]
    in_order = len(known) == len(numbers) and all(a < b for a, b in pairwise(known))
    return known if gaps and in_order else list(range(len(numbers)))


def bridges(flagged: Sequence[tuple[int, int]], used: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs to try in place of the flagged ones, which are neighbours in ``used``.

    Each flagged pair breaks the chain of sections in use. The last two before a break are tried with the first two after it
    or after a later one, over at most `SPAN` steps: so one to three bad sections are passed, whether or not they match each other.
    """
    at = {z: k for k, z in enumerate(used)}
    breaks = {at[fixed] for fixed, _ in flagged}
    spans = {
        (before - back, after + 1 + on)
        for before in breaks
        for after in breaks.intersection(range(before, before + SPAN))
        for back in (0, 1)
        for on in (0, 1)
    }
    return sorted((used[i], used[j]) for i, j in spans if i >= 0 and j < len(used) and 1 < j - i <= SPAN)


def place_sections(count: int, links: Sequence[Link], shape: tuple[int, int], canvas: Canvas = "source") -> Placement:
    """Place ``count`` sections of ``shape`` (y, x) by links between them, each given once.

    The canvas is as large as a section, or the box about all corners of all sections.
    """
    relative, run = _follow_links(count, links)
    runs: list[list[int]] = [np.flatnonzero(run == number).tolist() for number in range(run.max() + 1)]
    runs.sort(key=lambda members: (-len(members), members[0]))
    placed: dict[int, Affine] = {}
    for members in runs:
        # the member next to what is placed already carries its run there
        anchor = min(members, key=lambda z: (min((abs(z - p) for p in placed), default=0), z))
        shift = relative[anchor].invert().compose(between(placed, anchor)) if placed else Affine()
        for z in members:
            placed[z] = relative[z].compose(shift)
    body = _settle([placed[z] for z in runs[0]], shape)
    affines = [placed[z].compose(body) for z in range(count)]
    main = set(runs[0]) if len(runs[0]) > 1 else set()
    placement = Placement(tuple(affines), tuple(z in main for z in range(count)), shape)
    return around_all(placement, shape) if canvas == "all" else placement


def around_all(placement: Placement, shape: tuple[int, int]) -> Placement:
    """The same on the smallest canvas that holds all of every section of ``shape`` (y, x)."""
    reached = np.concatenate([affine.invert().apply(corners(shape)) for affine in placement.affines])
    low, high = np.floor(reached.min(axis=0)), np.ceil(reached.max(axis=0))
    height, width = (high - low + 1).astype(int).tolist()
    moved = tuple(affine.compose(Affine.translation(*low)) for affine in placement.affines)
    return Placement(moved, placement.linked, (height, width))


def seen_from(placement: Placement, z: int) -> Placement:
    """The same on the canvas that section ``z`` is: its own map changes nothing."""
    back = placement.affines[z].invert()
    return Placement(tuple(affine.compose(back) for affine in placement.affines), placement.linked, placement.shape)


def _follow_links(count: int, links: Sequence[Link]) -> tuple[list[Affine], NDArray[np.integer]]:
    """For each section the affine px of its run's middle section → its own px, and the number of its run."""
    maps: dict[tuple[int, int], Affine] = {}
    for fixed, moving, affine in links:
        maps[fixed, moving], maps[moving, fixed] = affine, affine.invert()
    ends = np.array(sorted(maps), dtype=int).reshape(-1, 2)
    cost = np.diff(ends, axis=1)[:, 0].astype(float) ** 2  # two steps of one are better than one of two
    graph = coo_array((cost, (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    total, run = connected_components(graph, directed=False)
    relative = [Affine()] * count
    for number in range(total):
        members = np.flatnonzero(run == number)
        root = members.tolist()[len(members) // 2]
        distance, predecessors = dijkstra(graph, indices=root, return_predecessors=True)
        before: list[int] = predecessors.tolist()
        # nearest first, so that whoever leads to a section is placed before it
        for z in members[np.argsort(distance[members], kind="stable")].tolist():
            if z != root:
                relative[z] = maps[before[z], z].compose(relative[before[z]])
    return relative, run


def between(placed: dict[int, Affine], z: int) -> Affine:
    """The affine of ``z`` by linear interpolation between the nearest placed sections; beyond the ends that of the last."""
    below, above = max((p for p in placed if p < z), default=None), min((p for p in placed if p > z), default=None)
    if below is None or above is None:
        nearest = above if below is None else below
        return placed[nearest] if nearest is not None else Affine()
    share = (z - below) / (above - below)
    low, high = placed[below], placed[above]
    return Affine.of((1 - share) * low.linear + share * high.linear, (1 - share) * low.shift + share * high.shift)


def rejoined(affines: Sequence[Affine], linked: Sequence[int]) -> tuple[Affine, ...]:
    """The others anew between ``linked`` ones, which have moved."""
    placed = {z: affines[z] for z in linked}
    return tuple(placed[z] if z in placed else between(placed, z) for z in range(len(affines)))


def corners(shape: tuple[int, int]) -> Floats:
    """(4, 2): middles of the corner pixels."""
    height, width = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0], [0, width], [height, 0], [height, width]], float)


def _settle(affines: Sequence[Affine], shape: tuple[int, int]) -> Affine:
    """The turn and shift after which the corners of the sections lie, on average, nearest to where they were imaged.

    The orthogonal Procrustes problem without scale (Kabsch 1976). Where most sections lie face down to the one that all follow, the
    body is turned over.
    """
    imaged = corners(shape)
    lying = np.mean([affine.invert().apply(imaged) for affine in affines], axis=0)
    middle, target = imaged.mean(axis=0), lying.mean(axis=0)
    left, _, right = np.linalg.svd((lying - target).T @ (imaged - middle))
    face = np.sign(np.median([np.linalg.det(affine.linear) for affine in affines])) or 1.0
    turn = left @ np.diag([1.0, face * np.sign(np.linalg.det(left @ right))]) @ right
    return Affine.of(turn, target - turn @ middle)
