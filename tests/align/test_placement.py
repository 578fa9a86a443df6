"""From links between pairs to one place for every section: exact links give back the truth, broken ones are gone around."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.align.placement import Link, bridges, corners, place_sections, section_depths
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

SHAPE = (300, 400)
COUNT = 9
TRUTH = SectionPhantom(shape=SHAPE, count=COUNT, seed=2).affines  # specimen → section


def link(fixed: int, moving: int) -> Link:
    return fixed, moving, TRUTH[moving].compose(TRUTH[fixed].invert())


def to_specimen(affines: tuple[Affine, ...]) -> np.ndarray:
    """(z, 4, 2): where each section shows the specimen at the corners of the canvas; all equal when aligned."""
    return np.stack([truth.invert().apply(affine.apply(corners(SHAPE))) for truth, affine in zip(TRUTH, affines, strict=True)])


CHAIN = [link(z, z + 1) for z in range(COUNT - 1)]


def test_exact_links_give_back_the_truth_but_for_one_common_map() -> None:
    placed = place_sections(COUNT, CHAIN, SHAPE)
    assert placed.linked == (True,) * COUNT
    np.testing.assert_allclose(to_specimen(placed.affines) - to_specimen(placed.affines)[0], 0, atol=1e-8)


@given(st.permutations(CHAIN))
def test_the_order_of_links_does_not_matter(links: list[Link]) -> None:
    assert place_sections(COUNT, links, SHAPE) == place_sections(COUNT, CHAIN, SHAPE)


def test_sections_stay_where_they_were_imaged_on_average_and_nothing_shrinks() -> None:
    placed = place_sections(COUNT, CHAIN, SHAPE)
    shown = np.mean([affine.invert().apply(corners(SHAPE)) for affine in placed.affines], axis=0)
    assert np.abs(shown.mean(axis=0) - corners(SHAPE).mean(axis=0)).max() < 1e-8
    assert np.abs(shown - corners(SHAPE)).max() < 12  # scale and shear of the middle section, up to 3 % of 250 px
    np.testing.assert_allclose(abs(np.linalg.det(placed.affines[COUNT // 2].linear)), 1, atol=1e-12)


def test_two_hundred_shrinking_links_are_believed_not_averaged_away() -> None:
    shrinking = [(z, z + 1, Affine.of(np.eye(2) * 0.999, (0.15, 0.2))) for z in range(199)]
    placed = place_sections(200, shrinking, SHAPE)
    areas = [np.linalg.det(affine.linear) for affine in placed.affines]
    np.testing.assert_allclose(areas[100], 1, atol=1e-9)
    np.testing.assert_allclose(areas[0] / areas[199], 0.999 ** (-2 * 199), rtol=1e-6)


def test_a_section_without_links_lies_between_its_neighbours() -> None:
    links = [pair for pair in CHAIN if 4 not in pair[:2]] + [link(3, 5)]
    placed = place_sections(COUNT, links, SHAPE)
    assert placed.linked == tuple(z != 4 for z in range(COUNT))
    others = [z for z in range(COUNT) if z != 4]
    np.testing.assert_allclose((to_specimen(placed.affines) - to_specimen(placed.affines)[0])[others], 0, atol=1e-8)
    middle = [np.array(placed.affines[z].rows) for z in (3, 4, 5)]
    np.testing.assert_allclose(middle[1], (middle[0] + middle[2]) / 2, atol=1e-9)


def test_sections_at_the_ends_without_links_follow_the_last_placed_one() -> None:
    placed = place_sections(COUNT, CHAIN[1:-1], SHAPE)
    assert placed.affines[0] == placed.affines[1]
    assert placed.affines[-1] == placed.affines[-2]
    assert (placed.linked[0], placed.linked[-1]) == (False, False)


def test_a_run_that_is_cut_off_keeps_its_inner_alignment_and_goes_on_where_the_rest_ended() -> None:
    placed = place_sections(COUNT, [pair for pair in CHAIN if pair[:2] != (5, 6)], SHAPE)
    assert placed.linked == (True,) * 6 + (False,) * 3
    specimen = to_specimen(placed.affines)
    np.testing.assert_allclose(specimen[:6] - specimen[0], 0, atol=1e-8)
    np.testing.assert_allclose(specimen[6:] - specimen[6], 0, atol=1e-8)
    np.testing.assert_allclose(placed.affines[6].rows, placed.affines[5].rows, atol=1e-8)


def test_nothing_linked_leaves_every_section_where_it_was() -> None:
    placed = place_sections(3, [], SHAPE)
    assert placed.linked == (False,) * 3
    for affine in placed.affines:
        np.testing.assert_allclose(affine.rows, Affine().rows, atol=1e-9)
    np.testing.assert_allclose(place_sections(1, [], SHAPE).affines[0].rows, Affine().rows, atol=1e-9)


def test_a_near_link_is_preferred_to_a_far_one() -> None:
    wrong = (2, 4, Affine.translation(50, 50))
    np.testing.assert_allclose(
        [a.rows for a in place_sections(COUNT, [*CHAIN, wrong], SHAPE).affines],
        [a.rows for a in place_sections(COUNT, CHAIN, SHAPE).affines],
        atol=1e-9,
    )


def test_sections_turned_half_around_do_not_collapse() -> None:
    half = Affine.rotation(180, (149.5, 199.5))
    placed = place_sections(4, [(0, 1, half), (1, 2, half), (2, 3, half)], SHAPE)
    for affine in placed.affines:
        np.testing.assert_allclose(abs(np.linalg.det(affine.linear)), 1, atol=1e-9)


def test_the_canvas_can_hold_every_corner() -> None:
    placed = place_sections(COUNT, CHAIN, SHAPE, "all")
    reached = np.concatenate([affine.invert().apply(corners(SHAPE)) for affine in placed.affines])
    assert (reached >= -1e-9).all()
    assert (reached <= np.array(placed.shape) - 1 + 1e-9).all()
    assert (reached.min(axis=0) < 1).all()
    assert (reached.max(axis=0) > np.array(placed.shape) - 2).all()


def test_bridges_span_flagged_pairs_over_the_sections_in_use() -> None:
    used = [0, 1, 2, 4, 5]
    assert bridges([(1, 2), (2, 4)], used) == [(0, 2), (0, 4), (0, 5), (1, 4), (1, 5), (2, 5)]
    assert bridges([(0, 1)], used) == [(0, 2)]
    assert (1, 5) in bridges([(z, z + 1) for z in (1, 2, 3, 4)], range(8))  # three bad sections in a row
    assert (1, 4) in bridges([(1, 2), (3, 4)], range(8))  # two, which match each other
    assert all(1 < j - i <= 4 for i, j in bridges([(z, z + 1) for z in range(30)], range(31)))
    assert bridges([], used) == bridges([(0, 1)], [0, 1]) == []


@pytest.mark.parametrize(
    ("numbers", "gaps", "depths"),
    [
        ([3, 4, 6], (5,), [3, 4, 6]),
        ([3, 4, 5], (), [0, 1, 2]),
        ([None, 4, 6], (5,), [0, 1, 2]),
        ([3, 3, 5], (4,), [0, 1, 2]),
    ],
)
def test_depth_counts_missing_sections(numbers: list[int | None], gaps: tuple[int, ...], depths: list[int]) -> None:
    assert section_depths(numbers, gaps) == depths
