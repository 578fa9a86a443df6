"""Blocks are every voxel once, in shards that stay shards along the pyramid."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.blocks import SHARD_BYTES, halving, pyramid, shard_shape
from emkit.model import Shape, SizeNm

sides = st.integers(1, 200)
shapes = st.tuples(sides, sides, sides)
sizes_nm = st.tuples(*[st.floats(0.5, 200, allow_nan=False)] * 3)
Chunking = tuple[int | Shape, int | Shape]
flat: Chunking = (4, 16, 16), (4, 64, 64)  # for what is made section by section
chunkings = st.sampled_from([(8, 8), (8, 32), (16, 16), (16, 64), (64, 64), flat])


@given(shapes, sizes_nm, chunkings)
def test_the_blocks_of_every_level_are_the_whole_array_once(shape: Shape, size_nm: SizeNm, chunking: Chunking) -> None:
    for grid in pyramid(shape, size_nm, 1, chunk_px=chunking[0], shard_px=chunking[1]):
        seen = np.zeros(grid.shape, np.uint8)
        for block in grid.blocks():
            seen[block.slices] += 1
        assert (seen == 1).all()
        assert len(grid.blocks()) == prod(grid.shards)
        assert all(shard % chunk == 0 for shard, chunk in zip(grid.shard, grid.chunk, strict=True))


@given(shapes, sizes_nm, chunkings)
def test_within_a_group_the_coarser_picture_of_a_block_is_a_block(shape: Shape, size_nm: SizeNm, chunking: Chunking) -> None:
    grids = pyramid(shape, size_nm, 1, chunk_px=chunking[0], shard_px=chunking[1])
    assert grids[0].starts_group
    for finer, coarser in zip(grids, grids[1:], strict=False):
        assert coarser.shape == tuple(-(-n // f) for n, f in zip(finer.shape, coarser.factor, strict=True))
        assert coarser.starts_group == (coarser.shards != finer.shards)
        if coarser.starts_group:
            continue
        assert [block.coarser(coarser.factor) for block in finer.blocks()] == coarser.blocks()
        assert [block.finer(coarser.factor, finer.shape) for block in coarser.blocks()] == finer.blocks()


@given(shapes, sizes_nm)
def test_a_pyramid_ends_within_one_chunk_and_has_a_coarser_level_for_anything_longer(shape: Shape, size_nm: SizeNm) -> None:
    grids = pyramid(shape, size_nm, 1)
    assert max(grids[-1].shape) <= 64
    assert (len(grids) >= 2) == (max(shape) > 64)


def test_thick_sections_keep_their_z_until_voxels_are_cubes() -> None:
    factors = [grid.factor for grid in pyramid((20, 1024, 1024), (45, 4.6, 4.6), 1)]
    assert factors == [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert halving((10, 10, 10), (8, 8, 8)) == (2, 2, 2)
    assert halving((10, 1, 1), (45, 4.6, 4.6)) == (2, 1, 1)


def test_chunks_and_shards_are_those_of_the_documentation() -> None:
    large = pyramid((4096, 4096, 4096), (8, 8, 8), 1)
    assert [grid.shard[0] for grid in large] == [512, 256, 128, 64, 256, 128, 64]
    assert {grid.chunk for grid in large} == {(64, 64, 64)}
    thin = pyramid((20, 1024, 1024), (45, 4.6, 4.6), 1)[0]
    assert (thin.chunk, thin.shard) == ((20, 64, 64), (20, 512, 512))


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_a_shard_has_the_same_bytes_for_every_type(itemsize: int) -> None:
    assert prod(shard_shape(itemsize)) * itemsize == SHARD_BYTES


def test_a_shard_that_is_no_power_of_two_of_chunks_is_refused() -> None:
    with pytest.raises(ValueError, match="shard_px=96 is not chunk_px=32 times a power of two"):
        pyramid((10, 10, 10), (1, 1, 1), 1, chunk_px=32, shard_px=96)
