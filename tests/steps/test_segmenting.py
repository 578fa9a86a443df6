"""segment and score as commands: cells of a planted probability, the same for any blocks, and what is refused before work."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

from emkit import make_mask, open_volume, plan, score, segment
from emkit.errors import DataError, ParameterError
from emkit.io.omezarr import create_volume, read_volume, shard_grid, write_block
from emkit.measure.overlaps import Overlaps
from emkit.measure.partitions import segmentation_scores
from emkit.membrane.masking import find_mask
from emkit.membrane.model import TargetName
from emkit.membrane.prediction import Channel, Prediction
from tests.io.readers import write_volume
from tests.membrane.test_instances import cells

judge: Any = import_module("tests.judges.evaluate_segmentation")
NM = (45.0, 4.6, 4.6)
TRUTH, PROBABILITY = cells(0, (2, 150, 200), 30, flat=True)


@pytest.fixture
def probability(tmp_path: Path) -> Path:
    write_volume(path := tmp_path / "p.ome.zarr", PROBABILITY, NM)
    return path


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(open_volume(path))


def test_cells_of_sections_for_any_blocks(probability: Path, tmp_path: Path) -> None:
    report = segment(probability, out=tmp_path / "s.ome.zarr", dim=2)
    labels = labels_of(tmp_path / "s.ome.zarr")
    volume = read_volume(tmp_path / "s.ome.zarr")
    assert (volume.kind, volume.levels[0].voxel_size_nm, labels.shape) == ("labels", NM, TRUTH.shape)
    assert report.cells == len(np.unique(labels)) and labels.min() == 1
    tables = [Overlaps.of(a, b) for a, b in zip(labels, TRUTH, strict=True)]
    assert segmentation_scores(tables)["vi"] < 0.25
    kept = sorted(path.name for path in (tmp_path / "s.ome.zarr").iterdir())
    assert {"fragments", "graph"} <= set(kept) and "seeds" not in kept

    segment(probability, out=tmp_path / "b.ome.zarr", dim=2, block_px=64)
    blocks = labels_of(tmp_path / "b.ome.zarr")
    between = segmentation_scores([Overlaps.of(a, b) for a, b in zip(blocks, labels, strict=True)])
    assert between["vi"] < 0.02  # fragments may reach further than a halo; seeds and graph are exact


def test_cells_of_a_volume_for_any_blocks(tmp_path: Path) -> None:
    _, probability = cells(1, (66, 70, 130), 30, flat=False)
    write_volume(tmp_path / "p.ome.zarr", probability, (10.0, 10.0, 10.0))
    report = segment(tmp_path / "p.ome.zarr", out=tmp_path / "s.ome.zarr", dim=3)
    segment(tmp_path / "p.ome.zarr", out=tmp_path / "b.ome.zarr", dim=3, block_px=64)
    labels, blocks = labels_of(tmp_path / "s.ome.zarr"), labels_of(tmp_path / "b.ome.zarr")
    assert report.cells == labels.max()
    assert segmentation_scores([Overlaps.of(blocks, labels)])["vi"] < 0.02


def test_a_mask_is_left_out_though_it_is_coarser(probability: Path, tmp_path: Path) -> None:
    mask = np.zeros((2, 75, 100), np.uint8)
    mask[:, 20:40, 30:60] = 1
    write_volume(tmp_path / "m.ome.zarr", mask, (45.0, 9.2, 9.2))
    segment(probability, out=tmp_path / "s.ome.zarr", dim=2, mask=tmp_path / "m.ome.zarr")
    labels = labels_of(tmp_path / "s.ome.zarr")
    assert (labels[:, 42:78, 62:118] == 0).all() and (labels[:, :38] > 0).all()


def test_masks_that_are_refused(probability: Path, tmp_path: Path) -> None:
    write_volume(tmp_path / "f.ome.zarr", np.ones((2, 75, 100), np.float32), (45.0, 9.2, 9.2))
    with pytest.raises(ParameterError, match="holds numbers of type float32; needed: integers.*emkit make-mask"):
        plan(segment, probability, out=tmp_path / "s.ome.zarr", dim=2, mask=tmp_path / "f.ome.zarr")
    create_volume(tmp_path / "o.ome.zarr", shape=(2, 9, 9), dtype="uint8", voxel_size_nm=NM, origin_nm=(0, 0, 1e6))
    with pytest.raises(ParameterError, match="x 999998 to 1.00004e.06 nm, .*they have no voxel in common"):
        plan(segment, probability, out=tmp_path / "s.ome.zarr", dim=2, mask=tmp_path / "o.ome.zarr")


def test_a_mask_parts_alike_for_any_blocks(probability: Path, tmp_path: Path) -> None:
    """A lattice of masked bars, some along the faces of blocks, leaves nothing that reaches further than the halo: bit for bit."""
    mask = np.zeros(PROBABILITY.shape, np.uint8)
    mask[:, 20::40] = mask[:, :, 24::40] = mask[:, 63:66] = mask[:, :, 127:129] = 1
    write_volume(tmp_path / "m.ome.zarr", mask, NM)
    segment(probability, out=tmp_path / "s.ome.zarr", dim=2, mask=tmp_path / "m.ome.zarr")
    segment(probability, out=tmp_path / "b.ome.zarr", dim=2, mask=tmp_path / "m.ome.zarr", block_px=64)
    labels = labels_of(tmp_path / "s.ome.zarr")
    np.testing.assert_array_equal(labels_of(tmp_path / "b.ome.zarr"), labels)
    assert (labels[mask != 0] == 0).all() and (labels > 0).any()


def told(path: Path, volumes: dict[TargetName, np.ndarray]) -> Path:
    """Volumes as predict-membranes leaves them, the first at the root."""
    channels = tuple(Channel("" if k == 0 else name, name, (k,)) for k, name in enumerate(volumes))
    for channel in channels:
        write_volume(path / channel.group, volumes[channel.target], NM)
    Prediction(2, channels, NM, (0.0, 1.0), 1, "float32", True, "").write(path)
    return path


def test_objects_are_what_touches_and_contours_part_them(tmp_path: Path) -> None:
    """Two disks that touch, the second across a face of blocks, a fibre that is all contour, and a speck."""
    y, x = np.mgrid[:100, :160]
    left, right = np.hypot(y - 40, x - 40) < 20, np.hypot(y - 40, x - 78) < 20
    fibre, speck = (abs(y - 80) < 2) & (x > 10) & (x < 150), (y == 90) & (x == 90)
    inside = left | right | fibre | speck
    foreground = np.where(inside, 0.9, 0.2).astype(np.float32)[None].repeat(2, 0)
    report = segment(told(tmp_path / "f.ome.zarr", {"foreground": foreground}), out=tmp_path / "s.ome.zarr")
    labels = labels_of(tmp_path / "s.ome.zarr")
    assert (report.cells, str(report)[:9]) == (6, "6 objects") and ((labels > 0) == inside).all()
    np.testing.assert_array_equal(labels[0], ndimage.label(inside)[0])

    shallow = ndimage.distance_transform_edt(inside) <= 3
    contour = np.where(inside & (shallow | ((x > 57) & (x < 61))), 0.8, 0.1).astype(np.float32)[None].repeat(2, 0)
    path = told(tmp_path / "c.ome.zarr", {"foreground": foreground, "contour": contour})
    report = segment(path, out=tmp_path / "t.ome.zarr")
    labels = labels_of(tmp_path / "t.ome.zarr")
    assert report.cells == 8 and ((labels > 0) == inside).all()
    parts = left & (x < 50), right & (x > 68), fibre, speck
    assert len({int(label) for part in parts for label in np.unique(labels[0][part])}) == len(parts)
    segment(path, out=tmp_path / "b.ome.zarr", block_px=64)
    np.testing.assert_array_equal(labels_of(tmp_path / "b.ome.zarr"), labels)


def test_extracellular_space_is_left_out(tmp_path: Path) -> None:
    space = np.zeros_like(PROBABILITY)
    space[:, 60:90, 80:120] = 0.8
    segment(told(tmp_path / "p.ome.zarr", {"membrane": PROBABILITY, "extracellular": space}), out=tmp_path / "s.ome.zarr")
    assert ((labels_of(tmp_path / "s.ome.zarr") == 0) == (space > 0)).all()
    with pytest.raises(ParameterError, match="tells extracellular alone; needed: membrane, foreground or cleft"):
        plan(segment, told(tmp_path / "e.ome.zarr", {"extracellular": space}), out=tmp_path / "t.ome.zarr")


def test_no_edge_of_the_graph_crosses_a_mask(tmp_path: Path) -> None:
    """A wall of masked voxels, where the probability sees none, parts a volume into cells of either side. (The corner of mask and
    volume is one place: the centre of a voxel lies half of its size further.)"""
    write_volume(tmp_path / "p.ome.zarr", np.zeros((70, 70, 140), np.float32), (10.0, 10.0, 10.0))
    wall = np.zeros((35, 35, 70), np.uint8)
    wall[:, :, 34:36] = 7
    nm = 20.0, 20.0, 20.0
    create_volume(tmp_path / "m.ome.zarr", shape=(35, 35, 70), dtype="uint8", voxel_size_nm=nm, origin_nm=(5.0, 5.0, 5.0), levels=1)
    for block in shard_grid(tmp_path / "m.ome.zarr"):
        write_block(tmp_path / "m.ome.zarr", block, wall[block.slices].copy())
    segment(tmp_path / "p.ome.zarr", out=tmp_path / "s.ome.zarr", dim=3, mask=tmp_path / "m.ome.zarr")
    labels = labels_of(tmp_path / "s.ome.zarr")
    assert (labels[:, :, 68:72] == 0).all() and (labels[:, :, :68] > 0).all() and (labels[:, :, 72:] > 0).all()
    assert not set(labels[:, :, :68].ravel()) & set(labels[:, :, 72:].ravel())
    fragments = np.asarray(zarr.open_array(tmp_path / "s.ome.zarr" / "fragments" / "0", mode="r"))
    left = np.unique(fragments[:, :, :68])
    edges = np.load(tmp_path / "s.ome.zarr" / "graph" / "edges.npy")[:, :2]
    assert len(edges) == 0 or (np.isin(edges, left).sum(1) != 1).all()


def test_a_mask_is_made_of_a_probability(tmp_path: Path) -> None:
    """A planted vessel of half a million voxels, seen through blur and noise, for any blocks; specks stay."""
    z, y, x = np.ogrid[:40, :90, :300]
    vessel = ((y - 45) ** 2 + (z - 20) ** 2 < 15**2) & (x >= 0)
    noise = np.random.default_rng(0).normal(0, 0.08, vessel.shape)
    seen = np.clip(ndimage.gaussian_filter(vessel.astype(np.float32), 2) + noise, 0, 1).astype(np.float32)
    seen[3, 5, 7] = 1
    write_volume(tmp_path / "p.ome.zarr", seen, (45.0, 36.8, 36.8))
    report = make_mask(tmp_path / "p.ome.zarr", out=tmp_path / "m.ome.zarr")
    mask = labels_of(tmp_path / "m.ome.zarr") > 0
    assert report.masked == mask.sum() and not mask[3, 5, 7]
    assert (mask & vessel).sum() / (mask | vessel).sum() > 0.95
    np.testing.assert_array_equal(mask, find_mask(seen))  # two blocks along x
    write_volume(tmp_path / "none.ome.zarr", np.zeros((2, 9, 9), np.float32), NM)
    assert make_mask(tmp_path / "none.ome.zarr", out=tmp_path / "n.ome.zarr").masked == 0


def test_scores_are_those_of_the_judge(probability: Path, tmp_path: Path) -> None:
    interior = ((PROBABILITY < 0.4) * 255).astype(np.uint8)
    (tmp_path / "truth").mkdir()
    for z, section in enumerate(interior):
        imageio.imwrite(tmp_path / "truth" / f"{z}.png", section)
    wanted = judge.evaluate(PROBABILITY, interior)
    found = score(probability, tmp_path / "truth", out=tmp_path / "s.json").scores
    assert found["cells"] == pytest.approx(wanted["segmentation"], abs=1e-12)
    for name in ("v_rand", "v_info", "v_rand_threshold", "v_info_threshold"):
        assert found["lines"][name] == pytest.approx(wanted["thinned"][name], abs=1e-12)
    for name, value in wanted["pixel"].items():
        assert found["membrane"][name] == pytest.approx(value, abs=1e-12)
    assert json.loads((tmp_path / "s.json").read_text()) == found

    segment(probability, out=tmp_path / "s.ome.zarr", dim=2)
    wanted = judge.evaluate(labels_of(tmp_path / "s.ome.zarr"), interior)
    assert score(tmp_path / "s.ome.zarr", tmp_path / "truth").scores["cells"] == pytest.approx(wanted["segmentation"], abs=1e-12)


def test_instances_in_a_volume_and_clefts(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "truth.tif", TRUTH.astype(np.uint32))
    tifffile.imwrite(tmp_path / "found.tif", np.roll(TRUTH, 3, 2).astype(np.uint32))
    wanted = judge.evaluate(np.roll(TRUTH, 3, 2), TRUTH, dim=3)
    found = score(tmp_path / "found.tif", tmp_path / "truth.tif", dim=3)
    assert found.scores["cells"] == pytest.approx(wanted["segmentation"], abs=1e-12)
    clefts = score(tmp_path / "found.tif", tmp_path / "truth.tif", truth_kind="cleft", voxel_size_nm=NM)
    assert clefts.scores["clefts"]["cremi_cleft"] == 0


def test_what_is_refused(probability: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="dim is missing: .*p.ome.zarr does not tell with which model"):
        plan(segment, probability, out=tmp_path / "s.ome.zarr")
    with pytest.raises(ParameterError, match="block_px: found 100; needed: 64 times a power of two"):
        plan(segment, probability, out=tmp_path / "s.ome.zarr", dim=2, block_px=100)
    write_volume(tmp_path / "l.ome.zarr", TRUTH.astype(np.uint32), NM, "labels")
    with pytest.raises(ParameterError, match="holds labels of type uint32; needed: a probability"):
        plan(segment, tmp_path / "l.ome.zarr", out=tmp_path / "s.ome.zarr", dim=2)
    with pytest.raises(ParameterError, match="needed: the same place of both"):
        tifffile.imwrite(tmp_path / "small.tif", TRUTH[:, :9].astype(np.uint32))
        plan(score, probability, tmp_path / "small.tif")
    with pytest.raises(ParameterError, match="holds numbers of type float32; needed: integers"):
        tifffile.imwrite(tmp_path / "float.tif", TRUTH.astype(np.float32))
        plan(score, probability, tmp_path / "float.tif")


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_no_probability(value: float, tmp_path: Path) -> None:
    wrong = PROBABILITY.copy()
    wrong[1, 20, 30] = value
    write_volume(tmp_path / "p.ome.zarr", wrong, NM)
    with pytest.raises(DataError, match=rf"holds {value} at \(z=1, y=20, x=30\)"):
        segment(tmp_path / "p.ome.zarr", out=tmp_path / "s.ome.zarr", dim=2)


def test_cells_of_thick_sections_are_linked(tmp_path: Path) -> None:
    from emkit.membrane.fragments import Geometry
    from emkit.membrane.instances import find_cells

    stack = np.stack([np.roll(PROBABILITY[0], shift, 1) for shift in (0, 3, 6)])
    write_volume(tmp_path / "p.ome.zarr", stack, NM)
    segment(tmp_path / "p.ome.zarr", out=tmp_path / "s.ome.zarr", dim=3)
    np.testing.assert_array_equal(labels_of(tmp_path / "s.ome.zarr"), find_cells(stack, Geometry.of(NM, 3)))
