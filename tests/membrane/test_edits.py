"""Laws of edits: what is undone never was, merges commute, a split parts two points and touches no other cell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emkit.measure.overlaps import Overlaps
from emkit.membrane.edits import Bonds, Change, links_within
from emkit.membrane.fragments import Geometry
from emkit.membrane.instances import EdgeSums, find_fragments, region_edges, solve_cells
from tests.membrane.test_instances import cells

NO_LINKS = np.zeros((0, 3), np.int64)


def planted(seed: int, flat: bool) -> Bonds:
    """Of a planted volume, cut so that some cells are of many fragments."""
    geometry = Geometry(2, 10.0) if flat else Geometry(3, 1.0)
    _, probability = cells(seed, (2, 100, 110) if flat else (24, 40, 50), 60, flat)
    weak = np.where(np.arange(probability.shape[2]) > 30, probability * np.float32(0.3), probability)
    fragments, count = find_fragments(weak, geometry)
    graph = region_edges(fragments, weak, fragments.shape, geometry)
    return Bonds.of(solve_cells(count, graph, geometry), graph, NO_LINKS, geometry.anisotropy)


BONDS = [planted(0, True), planted(1, False)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Bonds, list[Change]]:
    """A volume, and edits as people make them: each click falls on two fragments, and merges or splits as they lie."""
    bonds = draw(st.sampled_from(BONDS))
    fragment = st.integers(1, len(bonds.cells) - 1)
    changes: list[Change] = []
    for one, other in draw(st.lists(st.tuples(fragment, fragment).filter(lambda pair: pair[0] != pair[1]), max_size=6)):
        now = bonds.edited(changes)
        together = now[one] == now[other]
        pairs = bonds.least_cut(changes, one, other) if together else ((one, other),)
        changes.append(Change(not together, pairs))
    return bonds, changes


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return len(np.unique(np.stack([a, b]), axis=1).T) == len(np.unique(a)) == len(np.unique(b))


def test_the_graph_holds_together_what_was_cut_out_of_it() -> None:
    for bonds in BONDS:
        assert bonds.count < len(bonds.cells) - 5  # cells of several fragments
        touching = [Change(True, ((int(a), int(b)),)) for a, b in bonds.pairs]  # says again what holds: all cells are made anew
        np.testing.assert_array_equal(bonds.edited(touching), bonds.cells)
        np.testing.assert_array_equal(bonds.edited([]), bonds.cells)


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_a_click_changes_what_it_names_and_its_opposite_brings_it_back(
    given_: tuple[Bonds, list[Change]], data: st.DataObject
) -> None:
    bonds, changes = given_
    before = bonds.edited(changes)
    one, other = data.draw(
        st.lists(st.integers(1, len(before) - 1), min_size=2, max_size=2, unique=True), label="the two fragments"
    )
    together = before[one] == before[other]
    pairs = bonds.least_cut(changes, one, other) if together else ((one, other),)
    after = bonds.edited([*changes, Change(not together, pairs)])
    assert (after[one] == after[other]) is not together
    named = np.isin(before, (before[one], before[other]))
    np.testing.assert_array_equal(after[~named], before[~named])  # with their numbers
    assert len(np.unique(after[named])) == (2 if together else 1)
    assert not set(after[named]) & set(after[~named])
    again = Change(together, pairs)  # what was said last holds
    assert same_partition(bonds.edited([*changes, Change(not together, pairs), again]), before)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(BONDS), st.data())
def test_merges_commute(bonds: Bonds, data: st.DataObject) -> None:
    fragment = st.integers(1, len(bonds.cells) - 1)
    merges = [Change(True, (pair,)) for pair in data.draw(st.lists(st.tuples(fragment, fragment), max_size=8))]
    shuffled = data.draw(st.permutations(merges))
    np.testing.assert_array_equal(bonds.edited(merges), bonds.edited(shuffled))


def test_the_cut_goes_where_fragments_touch_least() -> None:
    """A chain 1 - 2 - 3 - 4 with a neck between 3 and 4, and another cell."""
    graph = EdgeSums(
        np.array([[1, 2], [2, 3], [3, 4], [4, 5]], np.uint64), np.array([[90, 0], [80, 0], [3, 0], [100, 0]], np.int64)
    )
    bonds = Bonds.of(np.array([0, 1, 1, 1, 1, 2]), graph, NO_LINKS, 1.0)
    np.testing.assert_allclose(bonds.contact, [45, 40, 1.5])
    assert bonds.least_cut([], 1, 4) == ((3, 4),)
    parted = Change(False, ((3, 4),))
    assert bonds.edited([parted]).tolist() == [0, 1, 1, 1, 2 + 4, 2]
    joined = Change(True, ((4, 5),))
    assert bonds.edited([parted, joined]).tolist() == [0, 1, 1, 1, 2, 2]
    assert bonds.least_cut([parted, joined], 5, 4) == ((4, 5),)
    # 4 goes with either: what was joined by hand is parted first
    assert bonds.least_cut([joined], 1, 5) == ((4, 5),)


def test_sections_are_held_by_what_overlaps() -> None:
    """A cell of one fragment in a section and two in the next; a neighbour that overlaps is another cell."""
    tables = [Overlaps(np.array([0, 1, 1, 2]), np.array([3, 3, 4, 5]), np.array([7, 300, 50, 20]))]
    table = np.array([0, 1, 2, 1, 1, 1])
    links = links_within(tables, table)
    assert links.tolist() == [[1, 3, 300], [1, 4, 50]]
    graph = EdgeSums(np.array([[3, 4]], np.uint64), np.array([[10, 0]], np.int64))
    bonds = Bonds.of(table, graph, links, 10.0)
    np.testing.assert_allclose(bonds.contact, [5, 30, 5])
    assert set(bonds.least_cut([], 4, 1)) == {(3, 4), (1, 4)}


@pytest.mark.parametrize("flat", [True, False])
def test_pieces_are_whole_and_one_cell_is_two(flat: bool) -> None:
    """Each piece of the largest cell hangs together in the graph."""
    bonds = BONDS[0 if flat else 1]
    largest = int(np.argmax(np.bincount(bonds.cells[1:])))
    members = np.flatnonzero(bonds.cells == largest)
    cut = set(bonds.least_cut([], int(members[0]), int(members[-1])))
    kept = np.array([pair for pair in bonds.pairs.tolist() if tuple(pair) not in cut and bonds.cells[pair[0]] == largest])
    matrix = np.eye(len(bonds.cells), dtype=bool)
    if len(kept):
        matrix[kept[:, 0], kept[:, 1]] = matrix[kept[:, 1], kept[:, 0]] = True
    reached = matrix
    for _ in range(len(members).bit_length()):
        reached = reached @ reached
    after = bonds.edited([Change(False, tuple(cut))])
    np.testing.assert_array_equal(reached[np.ix_(members, members)], after[members][:, None] == after[members][None, :])
