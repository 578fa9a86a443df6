"""Cells that people correct: which fragments are one, when pairs of them were joined and parted by hand. Axis order is (z, y, x).

    cells      the connected components of the graph of fragments: its edges within cells, less those that were parted, and those
               that were joined; of several words about a pair the last one holds
    a merge    joins one pair: two fragments of different cells
    a split    parts the pairs of a least cut between two fragments of one cell, by how much the fragments touch where no membrane
               is; a least cut leaves two pieces, each in one piece

No edit touches a cell that it does not name. Cells keep their numbers: the piece with a cell's first fragment stays that cell (of
several the smallest), any other is numbered by its own first fragment, behind all cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emkit.measure.overlaps import Overlaps
from emkit.membrane.instances import EdgeSums
from emkit.membrane.reconciliation import Numbers
from emkit.membrane.regions import unite

FLOW = 1 << 30  # capacities are integers of 32 bits; all of them together are no more
BY_HAND = 0.0  # contact of a pair that was joined by hand: a split parts it first
Pairs = NDArray[np.int64]  # (n, 2), fragments
Pair = tuple[int, int]


@dataclass(frozen=True)
class Change:
    """Pairs of fragments that an edit joined, or parted."""

    joined: bool
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Bonds:
    """What holds fragments together. `cells`: of each fragment (index 0 is none) its cell, 1 to n. `pairs`: fragments of one cell
    that touch, and in `contact` on how many faces, each counted by how probable it is to be no membrane."""

    cells: Numbers
    pairs: Pairs
    contact: NDArray[np.float64]

    @classmethod
    def of(cls, cells: Numbers, graph: EdgeSums, links: Numbers, anisotropy: float) -> "Bonds":
        """From the graph of the fragments; `links` (n, 3) are fragments of neighbouring sections and the voxels that they share,
        each a face that is `anisotropy` times smaller than one within a section."""
        pairs = graph.edges.astype(np.int64)
        open_faces = graph.sums[:, 0] / (1 + np.exp(-graph.weights(0.5)))
        within = cells[pairs[:, 0]] == cells[pairs[:, 1]]
        contact = np.concatenate([open_faces[within], links[:, 2] / anisotropy])
        return cls(cells, np.concatenate([pairs[within], links[:, :2]]), contact)

    @cached_property
    def count(self) -> int:
        """How many cells there are."""
        return int(self.cells.max(initial=0))

    def edited(self, changes: Sequence[Change]) -> Numbers:
        """Of each fragment its cell, after these changes in this order."""
        cells = self.cells.copy()
        if not (said := _last_word(changes)):
            return cells
        touched = np.unique(cells[np.array(list(said)).ravel()])
        members = np.flatnonzero(np.isin(cells, touched))
        pairs, _ = self._among(members, said)
        roots = unite(len(members), pairs.astype(np.uint64)) if len(pairs) else np.arange(len(members))
        numbers = self.count + members  # of a piece by its first fragment, if it holds that of no cell
        _, firsts = np.unique(cells[members], return_index=True)
        kept = np.full(len(members), np.iinfo(np.int64).max)
        np.minimum.at(kept, roots[firsts], cells[members[firsts]])
        cells[members] = np.where(kept[roots] <= self.count, kept[roots], numbers[roots])
        return cells

    def least_cut(self, changes: Sequence[Change], one: int, other: int) -> tuple[Pair, ...]:
        """The pairs to part so that two fragments, which are of one cell after these changes, are not: those that touch least."""
        from scipy import sparse
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        cells = self.edited(changes)
        members = np.flatnonzero(cells == cells[one])
        pairs, contact = self._among(members, _last_word(changes))
        scale = (FLOW - 2 * len(pairs)) / 2 / max(contact.sum(), 1)
        capacity = np.concatenate([np.int32(1 + contact * min(scale, 256))] * 2)
        ends = np.concatenate([pairs, pairs[:, ::-1]])
        shape = (len(members), len(members))
        graph = sparse.coo_array((capacity, (ends[:, 0], ends[:, 1])), shape=shape).tocsr()
        source, sink = np.searchsorted(members, (one, other))
        flow = maximum_flow(graph, int(source), int(sink)).flow
        left = graph - flow
        left.eliminate_zeros()
        near = np.zeros(len(members), bool)
        near[breadth_first_order(left, int(source), return_predecessors=False)] = True
        across = members[pairs[near[pairs[:, 0]] != near[pairs[:, 1]]]]
        return tuple((int(a), int(b)) for a, b in across)

    def _among(self, members: Numbers, said: dict[Pair, bool]) -> tuple[Pairs, NDArray[np.float64]]:
        """The pairs that hold among these fragments, as indices of them, and their contact; each pair once."""
        place = np.full(len(self.cells), -1)
        place[members] = np.arange(len(members))
        pairs = np.sort(place[self.pairs], axis=1)
        inside = pairs[:, 0] >= 0
        pairs, contact = pairs[inside], self.contact[inside]
        words = {(int(place[a]), int(place[b])): joined for (a, b), joined in said.items() if place[a] >= 0 and place[b] >= 0}
        if words:
            spoken = np.array(list(words))
            code = pairs @ (len(members), 1)
            kept = ~np.isin(code, spoken @ (len(members), 1))
            by_hand = np.array([pair for pair, joined in words.items() if joined], np.int64).reshape(-1, 2)
            pairs = np.concatenate([pairs[kept], by_hand])
            contact = np.concatenate([contact[kept], np.full(len(by_hand), BY_HAND)])
        return pairs, contact


def links_within(tables: Sequence[Overlaps], cells: Numbers) -> Numbers:
    """Rows (fragment, fragment of the next section, voxels that they share), of those that are in one cell."""
    rows = [np.stack([table.truth, table.segment, table.count], axis=1) for table in tables]
    every = np.concatenate([np.zeros((0, 3), np.int64), *rows])
    same = (every[:, 0] > 0) & (every[:, 1] > 0) & (cells[every[:, 0]] == cells[every[:, 1]])
    links: Numbers = every[same]
    return links


def _last_word(changes: Sequence[Change]) -> dict[Pair, bool]:
    """Of each pair, the smaller fragment first, whether it was joined or parted last."""
    return {(min(pair), max(pair)): change.joined for change in changes for pair in change.pairs}
