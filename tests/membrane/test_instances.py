"""Planted cells are found, blocks give what the whole gives, and libraries do as their oracles."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import watershed

from emkit.blocks import Block
from emkit.measure.overlaps import Overlaps
from emkit.measure.partitions import segmentation_scores
from emkit.membrane import regions
from emkit.membrane.fragments import HALO_PX, Geometry, find_seeds, membrane_distance, with_halo, within
from emkit.membrane.instances import EdgeSums, find_cells, find_fragments, label_seeds, region_edges, solve_cells
from emkit.membrane.reconciliation import face_pairs, first_voxels, number_components, offsets_of
from emkit.membrane.regions import contacts, cut, distance_inside, flood, label_components, unite

FLAT, SOLID = Geometry(2, 10.0), Geometry(3, 1.0)


def cells(seed: int, shape: tuple[int, int, int], count: int, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cells around random centres, and the probability of membrane that a fair network would tell of them."""
    rng = np.random.default_rng(seed)
    centres = np.ones(shape, bool)
    centres[tuple(np.array([[rng.integers(0, n) for n in shape] for _ in range(count)]).T)] = False
    if flat:
        centres[:, ::37, 5] = False
    sampling = (1000.0, 1.0, 1.0) if flat else None
    nearest = ndimage.distance_transform_edt(centres, sampling=sampling, return_distances=False, return_indices=True)
    labels = np.ravel_multi_index(tuple(nearest), shape) + 1
    size = (1, 3, 3) if flat else 3
    walls = ndimage.maximum_filter(labels, size) != ndimage.minimum_filter(labels, size)
    blurred = ndimage.gaussian_filter(walls.astype(np.float32), (0, 1, 1) if flat else 1)
    return labels, np.clip(blurred * 1.3 + rng.normal(0, 0.02, shape), 0, 1).astype(np.float32)


# ---------------------------------------------------------------------------------------- the libraries


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return bool(pairs.shape[1] == len(np.unique(a)) == len(np.unique(b)))


@pytest.mark.parametrize("shape", [(40, 50), (12, 20, 30)])
def test_components_and_distances_are_those_of_scipy(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.6
    found, count = label_components(mask)
    wanted, n = ndimage.label(mask)
    assert count == n and found.dtype == np.uint32
    assert same_partition(found, wanted)
    size = (10.0, 1.0, 2.0)[-len(shape) :]
    np.testing.assert_allclose(distance_inside(mask, size), ndimage.distance_transform_edt(mask, sampling=size), rtol=1e-6)


def test_the_flood_is_that_of_scikit_image_where_no_two_heights_are_equal() -> None:
    rng = np.random.default_rng(0)
    height = rng.permutation(40 * 50).reshape(40, 50).astype(np.float32)
    seeds = np.zeros(height.shape, np.uint32)
    seeds[tuple(rng.integers(0, 40, (2, 9)))] = np.arange(1, 10)
    np.testing.assert_array_equal(flood(height, seeds), watershed(height, seeds))
    mask = ndimage.binary_dilation(seeds > 0, iterations=5)
    np.testing.assert_array_equal(flood(height, seeds, mask), watershed(height, seeds, mask=mask))


def test_contacts_are_those_of_every_face() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (5, 6, 7)).astype(np.uint32)
    values = rng.integers(-3000, 3000, labels.shape).astype(np.int16)
    wanted: dict[tuple[int, int], list[int]] = {}
    for index in np.ndindex(4, 6, 7):  # the last plane belongs to the next block
        for axis in range(3):
            other = tuple(i + (axis == a) for a, i in enumerate(index))
            if other[axis] == labels.shape[axis]:
                continue
            pair = sorted((int(labels[index]), int(labels[other])))
            if pair[0] and pair[0] != pair[1]:
                found = wanted.setdefault((pair[0], pair[1]), [0, 0])
                found[0] += 1
                found[1] += int(values[index]) + int(values[other])
    edges, sums = contacts(labels, values, (4, 6, 7))
    assert {(int(a), int(b)): [int(n), int(s)] for (a, b), (n, s) in zip(edges, sums, strict=True)} == wanted


def test_a_cut_keeps_what_attracts() -> None:
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3]], np.uint64)
    labels = cut(4, edges, np.array([5.0, -3.0, -4.0, 1.0]))
    assert labels[0] == labels[1] != labels[2] == labels[3]


@pytest.mark.parametrize("built", [True, False])
def test_union_find_is_that_of_scipy_and_names_the_smallest(built: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not built:
        monkeypatch.setattr(regions, "LIBRARY", tmp_path / "none.so")
    pairs = np.random.default_rng(0).integers(0, 200, (120, 2)).astype(np.uint64)
    graph = coo_matrix((np.ones(120), tuple(pairs.astype(int).T)), shape=(200, 200))
    wanted = connected_components(graph, directed=False)[1]
    roots = unite(200, pairs)
    assert same_partition(roots, wanted)
    assert all(root == np.flatnonzero(wanted == wanted[root])[0] for root in roots)
    with pytest.raises(IndexError):
        unite(200, np.array([[0, 200]], np.uint64))


# ---------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_cells_are_found_in_two_dimensions(seed: int) -> None:
    truth, probability = cells(seed, (2, 160, 200), 30, flat=True)
    found = find_cells(probability, FLAT)
    tables = [Overlaps.of(a, b) for a, b in zip(found, truth, strict=True)]
    assert segmentation_scores(tables)["vi"] < 0.25
    assert not set(np.unique(found[0])) & set(np.unique(found[1]))  # sections have cells of their own


def test_planted_cells_are_found_in_three_dimensions() -> None:
    truth, probability = cells(0, (60, 70, 80), 20, flat=False)
    assert segmentation_scores([Overlaps.of(find_cells(probability, SOLID), truth)])["vi"] < 0.4


def test_cells_of_thick_sections_are_linked_by_their_overlap() -> None:
    truth, probability = cells(0, (1, 120, 120), 14, flat=True)
    stack = np.stack([np.roll(probability[0], shift, 1) for shift in (0, 3, 6)])
    found = find_cells(stack, Geometry(3, 10.0))
    wanted = np.stack([np.roll(truth[0], shift, 1) for shift in (0, 3, 6)])
    inside = found[:, 10:-10, 10:-10], wanted[:, 10:-10, 10:-10]
    assert segmentation_scores([Overlaps.of(*inside)])["vi"] < 0.3
    assert len(np.unique(found)) < 1.6 * len(np.unique(found[0]))


def test_what_a_mask_leaves_out_has_no_cell() -> None:
    _, probability = cells(0, (1, 80, 80), 8, flat=True)
    mask = np.ones(probability.shape, bool)
    mask[:, 30:50, 30:50] = False
    found = find_cells(probability, FLAT, mask)
    assert (found[~mask] == 0).all() and (found[mask] > 0).all()


def test_no_cell_at_all() -> None:
    assert not find_cells(np.ones((1, 20, 20), np.float32), FLAT).any()


# ---------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("geometry", [FLAT, SOLID], ids=["sections", "volume"])
@pytest.mark.parametrize("side", [64, 100])
def test_seeds_of_blocks_are_those_of_the_whole_bit_for_bit(geometry: Geometry, side: int) -> None:
    _, probability = cells(3, (3, 300, 200) if geometry.flat else (70, 80, 130), 40, flat=geometry.flat)
    shape = probability.shape
    whole = find_seeds(membrane_distance(probability, geometry), geometry)
    labels, count = label_seeds(whole, geometry)

    spans = [[(low, min(low + side, n)) for low in range(0, n, side)] for n in shape]
    blocks = [Block(z, y, x) for z in spans[0] for y in spans[1] for x in spans[2]]
    local, counts, firsts = np.zeros(shape, np.int64), [], []
    for block in blocks:
        around = with_halo(block, shape, geometry)
        found = find_seeds(membrane_distance(probability[around.slices], geometry), geometry)[within(block, around)]
        np.testing.assert_array_equal(found, whole[block.slices])
        local[block.slices], n = label_seeds(found, geometry)
        firsts.append(first_voxels(local[block.slices].astype(np.uint32), n, block, shape))
        counts.append(n)
    for block, offset in zip(blocks, offsets_of(counts), strict=True):
        local[block.slices] += np.where(local[block.slices] > 0, offset, 0)
    pairs = []
    for axis in range(1 if geometry.flat else 0, 3):
        for (_, cut_at), _ in pairwise(spans[axis]):
            pairs.append(face_pairs(local.take(cut_at - 1, axis), local.take(cut_at, axis)))
    numbers = number_components(np.concatenate(firsts), np.concatenate(pairs))
    np.testing.assert_array_equal(numbers[local], labels)  # the same partition, and the same numbers
    assert numbers.max() == count


def test_edges_of_blocks_add_up_to_those_of_the_whole() -> None:
    _, probability = cells(4, (40, 50, 60), 12, flat=False)
    fragments, count = find_fragments(probability, SOLID)
    whole = region_edges(fragments, probability, fragments.shape, SOLID)
    parts = []
    for low in range(0, 40, 16):
        end = min(low + 17, 40)
        own = (min(low + 16, 40) - low, 50, 60)
        parts.append(region_edges(fragments[low:end], probability[low:end], own, SOLID))
    merged = EdgeSums.merge(parts)
    np.testing.assert_array_equal(merged.edges, whole.edges)
    np.testing.assert_array_equal(merged.sums, whole.sums)
    np.testing.assert_array_equal(solve_cells(count, merged, SOLID), solve_cells(count, whole, SOLID))


def test_the_halo_is_as_wide_as_a_seed_looks() -> None:
    from emkit.membrane.fragments import CAP_PX, REACH_PX, SIGMA_PX

    assert HALO_PX >= CAP_PX + 4 * SIGMA_PX + REACH_PX + 1
