"""Cells from a membrane probability: fragments, their region graph, one cut of it. Axis order is (z, y, x).

    weight of an edge   the mean log odds that its faces are no membrane, less those of `BIAS`
    cells               the multicut of the graph by these weights: fragments that attract each other are one
    across sections     where they are too thick for faces between them, cells are linked that overlap best, both ways

Log odds are kept as integers (`ODDS` parts of one), so that sums over blocks are exact and the same for any blocks.
`find_cells` is all of it at once: the definition that the block-wise step equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.measure.overlaps import Overlaps
from emkit.membrane.fragments import ODDS, Geometry, Probability, find_seeds, grow_fragments, membrane_distance, membrane_odds
from emkit.membrane.reconciliation import Numbers
from emkit.membrane.regions import Bools, Edges, Labels, contacts, cut, label_components, unite

BIAS = {2: 0.45, 3: 0.5}  # by dimension: a face this probable to be membrane neither joins nor parts
LEAST_OVERLAP = 0.3  # intersection over union of two cells of neighbouring sections that are one


@dataclass(frozen=True)
class EdgeSums:
    """Edges (n, 2) with [faces, twice the sum of the odds on them] each; those of parts add up."""

    edges: Edges
    sums: NDArray[np.int64]

    @classmethod
    def merge(cls, parts: "Sequence[EdgeSums]") -> "EdgeSums":
        edges = np.concatenate([part.edges for part in parts]) if parts else np.zeros((0, 2), np.uint64)
        sums = np.concatenate([part.sums for part in parts]) if parts else np.zeros((0, 2), np.int64)
        if not len(edges):
            return cls(edges, sums)
        order = np.lexsort((edges[:, 1], edges[:, 0]))
        edges, sums = edges[order], sums[order]
        first = np.flatnonzero(np.concatenate([[True], (edges[1:] != edges[:-1]).any(axis=1)]))
        return cls(edges[first], np.add.reduceat(sums, first, axis=0))

    def save(self, file: Path) -> None:
        """A .npy file of four columns: the two fragments, the faces, the sum."""
        np.save(file, np.concatenate([self.edges.astype(np.int64), self.sums], axis=1))

    @classmethod
    def load(cls, file: Path) -> "EdgeSums":
        table = np.load(file)
        return cls(table[:, :2].astype(np.uint64), table[:, 2:])

    def weights(self, bias: float) -> NDArray[np.float64]:
        """How much the two fragments of each edge attract each other."""
        faces, sums = self.sums.T
        weights: NDArray[np.float64] = np.log((1 - bias) / bias) - sums / (2 * ODDS * faces)
        return weights


def region_edges(fragments: Labels, probability: Probability, own: tuple[int, int, int], geometry: Geometry) -> EdgeSums:
    """The edges between fragments whose faces begin in the first `own` voxels; within sections alone where fragments are flat."""
    odds = membrane_odds(probability)
    if not geometry.flat:
        return EdgeSums(*contacts(fragments, odds, own))
    sections = [EdgeSums(*contacts(f, o, own[1:])) for f, o in zip(fragments[: own[0]], odds, strict=False)]
    return EdgeSums.merge(sections)


def solve_cells(fragments: int, graph: EdgeSums, geometry: Geometry) -> Numbers:
    """Of each fragment (index 0 is none) the cell it belongs to, 1 to n, numbered by their first fragments."""
    bias = BIAS[2 if geometry.flat else 3]
    labels = cut(fragments, graph.edges - np.uint64(1), graph.weights(bias)) if len(graph.edges) else np.arange(fragments)
    return np.concatenate([[0], renumbered(labels)])


def renumbered(labels: Numbers) -> Numbers:
    """The same labels as 1 to n, in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(1, len(first) + 1)
    found: Numbers = number[inverse]
    return found


def link_sections(overlaps: Sequence[Overlaps], cells: int) -> Numbers:
    """Of each cell of sections (index 0 is none) the cell of the volume: those are one that overlap best, both ways, and well.

    `overlaps`: of each section with the next, as truth and segment.
    """
    pairs = [np.zeros((0, 2), np.uint64)]
    for table in overlaps:
        sizes = [np.bincount(side, table.count, cells + 1) for side in (table.truth, table.segment)]
        both = (table.truth > 0) & (table.segment > 0)
        here, there, shared = table.truth[both], table.segment[both], table.count[both]
        iou = shared / (sizes[0][here] + sizes[1][there] - shared)
        best = [np.zeros(cells + 1), np.zeros(cells + 1)]
        for side, labels in zip(best, (here, there), strict=True):
            np.maximum.at(side, labels, iou)
        linked = (iou >= LEAST_OVERLAP) & (iou == best[0][here]) & (iou == best[1][there])
        pairs.append(np.stack([here[linked], there[linked]], axis=1).astype(np.uint64) - np.uint64(1))
    return np.concatenate([[0], renumbered(unite(cells, np.concatenate(pairs)))])


def label_seeds(seeds: Bools, geometry: Geometry) -> tuple[Labels, int]:
    """Seeds that touch become one label, 1 to n, and n; where fragments are flat, seeds of different sections never are."""
    if not geometry.flat:
        return label_components(seeds)
    labels, count = np.zeros(seeds.shape, np.uint32), 0
    for z, section in enumerate(seeds):
        found, n = label_components(section)
        labels[z] = np.where(found > 0, found + np.uint32(count), np.uint32(0))
        count += n
    return labels, count


def find_fragments(probability: Probability, geometry: Geometry, mask: Bools | None = None) -> tuple[Labels, int]:
    """The fragments of a whole volume, and how many there are."""
    distance = membrane_distance(probability, geometry, mask)
    labels, count = label_seeds(find_seeds(distance, geometry), geometry)
    return grow_fragments(probability, distance, labels, geometry, mask), count


def find_cells(probability: Probability, geometry: Geometry, mask: Bools | None = None) -> NDArray[Any]:
    """Cells of a whole volume, 1 to n; 0 outside the mask."""
    fragments, count = find_fragments(probability, geometry, mask)
    graph = region_edges(fragments, probability, fragments.shape, geometry)
    cells = solve_cells(count, graph, geometry)[fragments]
    if not geometry.linked:
        return cells
    overlaps = [Overlaps.of(there, here) for here, there in pairwise(cells)]
    return link_sections(overlaps, int(cells.max(initial=0)))[cells]
