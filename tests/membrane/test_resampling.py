"""A grid of other voxels: no block shows, flat stays flat, and a slope stays where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.blocks import Block
from emkit.membrane.inference import tiles
from emkit.membrane.resampling import Resampling, onto

sides = st.integers(1, 40)
shapes = st.tuples(st.integers(1, 5), sides, sides)


def whole(shape: tuple[int, int, int]) -> Block:
    return Block((0, shape[0]), (0, shape[1]), (0, shape[2]))


@given(shapes, shapes, st.integers(0, 9))
def test_blocks_are_the_whole_bit_for_bit(source: tuple[int, int, int], target: tuple[int, int, int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 255, source, dtype=np.uint8)
    way = Resampling(source, target)
    expected = way.apply(array, whole(source), whole(target))
    assert expected.shape == target and expected.dtype == np.float32
    for block in tiles(whole(target), (2, 11, 7)):
        held = way.needed(block)
        np.testing.assert_array_equal(way.apply(array[held.slices], held, block), expected[block.slices])


@given(shapes, shapes)
def test_a_flat_volume_stays_as_it_is(source: tuple[int, int, int], target: tuple[int, int, int]) -> None:
    found = Resampling(source, target).apply(np.full(source, 7, np.uint8), whole(source), whole(target))
    np.testing.assert_allclose(found, 7, rtol=1e-6)


@pytest.mark.parametrize("count", [13, 40, 100])
def test_a_slope_stays_where_it_is(count: int) -> None:
    source, target = (1, 40, 40), (1, 40, count)
    slope = np.broadcast_to(np.arange(40) + 0.5, source).astype(np.float32)
    found = Resampling(source, target).apply(slope, whole(source), whole(target))
    expected = (np.arange(count) + 0.5) * 40 / count
    inner = slice(count // 10, -count // 10)
    np.testing.assert_allclose(found[0, 0, inner], expected[inner], atol=0.03)  # a tent of broken width is not quite even


def test_the_grid_of_a_model() -> None:
    assert onto((20, 1000, 500), (50, 4, 4), (45, 8, 8), sections=True).target == (20, 500, 250)
    assert onto((20, 1000, 500), (10, 8, 8), (8, 8, 8), sections=False).target == (25, 1000, 500)
    assert onto((20, 1000, 500), (45, 4.6, 4.6), (45, 4.6, 4.62), sections=True).nothing


def test_labels_take_the_value_of_the_voxel_in_which_their_middle_lies() -> None:
    labels = np.arange(16).reshape(1, 4, 4)
    np.testing.assert_array_equal(Resampling((1, 4, 4), (1, 2, 2)).nearest(labels), [[[5, 7], [13, 15]]])
    np.testing.assert_array_equal(Resampling((1, 1, 2), (1, 1, 4)).nearest(labels[:, :1, :2]), [[[0, 0, 1, 1]]])
