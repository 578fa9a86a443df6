"""Plans of the steps from membranes to scored cells against reality: see `test_plans`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emkit
from emkit.membrane.course import FAR_3D, NEAR_3D
from emkit.membrane.model import Configuration, Target, build_network, write_model
from emkit.model import SizeNm
from emkit.run.step import bind
from tests.io.readers import write_volume
from tests.run.test_plans import check, sections, texture

pytestmark = pytest.mark.campaign
FLAT_NM, SOLID_NM = (50.0, 4.0, 4.0), (8.0, 8.0, 8.0)
CELL_PX = 64


def cells(depth: int, height: int, width: int) -> np.ndarray:
    """Cubes, each with a number of its own."""
    z, y, x = np.ogrid[:depth, :height, :width]
    labels: np.ndarray = (1 + x // CELL_PX + 100 * (y // CELL_PX) + 10_000 * (z // CELL_PX)).astype(np.uint32)
    return labels


def walls(depth: int, height: int, width: int) -> np.ndarray:
    """Between such cubes: how probable membrane is, 0 to 255."""
    z, y, x = np.ogrid[:depth, :height, :width]
    near = np.minimum(x % CELL_PX, y % CELL_PX)
    near = np.minimum(near, z % CELL_PX if depth > CELL_PX else CELL_PX)
    probability: np.ndarray = np.where(np.broadcast_to(near, (depth, height, width)) < 3, 220, 10).astype(np.uint8)
    return probability


def model(folder: Path, dim: int) -> Path:
    """A folder of an untrained network as train-membranes has it by default."""
    targets = (Target("membrane"), *([Target("affinity", NEAR_3D + FAR_3D)] if dim == 3 else []))
    told = Configuration("unet3d", {}, 3, SOLID_NM, targets, 128.0, 40.0)
    if dim == 2:
        told = Configuration("unet2d", {}, 2, FLAT_NM, targets, 128.0, 40.0)
    folder.mkdir()
    write_model(folder, build_network(told).eval(), told)
    return folder


@pytest.mark.parametrize(("side_px", "batch"), [(512, 4), (512, 8), (1024, 8)])
def test_train_membranes(side_px: int, batch: int, tmp_path: Path, record_property: Any) -> None:
    images = sections(tmp_path / "images", 8, side_px)
    write_volume(labels := tmp_path / "labels.ome.zarr", cells(8, side_px, side_px), FLAT_NM, "labels")
    told: dict[str, Any] = {"label_kind": "instances", "voxel_size_nm": FLAT_NM, "steps": 3, "batch": batch}
    check(bind(emkit.train_membranes, images=images, labels=labels, out=tmp_path / "out", **told), tmp_path, record_property)


def test_train_membranes_in_volumes(tmp_path: Path, record_property: Any) -> None:
    write_volume(images := tmp_path / "images.ome.zarr", texture(128, 256, 256), SOLID_NM)
    write_volume(labels := tmp_path / "labels.ome.zarr", cells(128, 256, 256), SOLID_NM, "labels")
    told: dict[str, Any] = {"label_kind": "instances", "voxel_size_nm": SOLID_NM, "steps": 2, "dim": 3}
    check(bind(emkit.train_membranes, images=images, labels=labels, out=tmp_path / "out", **told), tmp_path, record_property)


@pytest.mark.parametrize(
    ("dim", "shape", "tta"),
    [(2, (1, 512, 512), 1), (2, (1, 1024, 1024), 1), (2, (1, 1024, 1024), 8), (3, (96, 96, 96), 1), (3, (160, 160, 160), 1)],
)
def test_predict_membranes(dim: int, shape: tuple[int, int, int], tta: int, tmp_path: Path, record_property: Any) -> None:
    write_volume(source := tmp_path / "v.ome.zarr", texture(*shape), FLAT_NM if dim == 2 else SOLID_NM)
    call = bind(emkit.predict_membranes, model(tmp_path / "model", dim), source, out=tmp_path / "out", tta=tta)
    check(call, tmp_path, record_property)


@pytest.mark.parametrize("dim", [2, 3])
def test_export_model(dim: int, tmp_path: Path, record_property: Any) -> None:
    check(bind(emkit.export_model, model(tmp_path / "model", dim), out=tmp_path / "out"), tmp_path, record_property)


def test_mesh(tmp_path: Path, record_property: Any) -> None:
    write_volume(cubes := tmp_path / "cubes.ome.zarr", cells(128, 256, 256), SOLID_NM, "labels", shard_px=256)
    check(bind(emkit.mesh, cubes, out=tmp_path / "out"), tmp_path, record_property)


def test_skeletonize(tmp_path: Path, record_property: Any) -> None:
    write_volume(cubes := tmp_path / "cubes.ome.zarr", cells(128, 256, 256), SOLID_NM, "labels", shard_px=256)
    check(bind(emkit.skeletonize, cubes, out=tmp_path / "out"), tmp_path, record_property)


def test_make_mask(tmp_path: Path, record_property: Any) -> None:
    write_volume(source := tmp_path / "p.ome.zarr", walls(64, 256, 256), SOLID_NM, shard_px=1024)
    check(bind(emkit.make_mask, source, out=tmp_path / "out"), tmp_path, record_property)


@pytest.mark.parametrize(("dim", "shape", "nm"), [(2, (4, 2048, 2048), FLAT_NM), (3, (256, 256, 512), SOLID_NM)])
def test_segment(dim: int, shape: tuple[int, int, int], nm: SizeNm, tmp_path: Path, record_property: Any) -> None:
    write_volume(source := tmp_path / "p.ome.zarr", walls(*shape), nm, shard_px=1024)
    check(bind(emkit.segment, source, out=tmp_path / "out", dim=dim), tmp_path, record_property)


def test_score_labels(tmp_path: Path, record_property: Any) -> None:
    write_volume(cubes := tmp_path / "cubes.ome.zarr", cells(128, 256, 256), kind="labels")
    check(bind(emkit.score, cubes, cubes, dim=3), tmp_path, record_property)


@pytest.mark.parametrize(("dim", "shape"), [(2, (2, 2048, 2048)), (3, (64, 256, 256))])
def test_score_probability(dim: int, shape: tuple[int, int, int], tmp_path: Path, record_property: Any) -> None:
    write_volume(found := tmp_path / "p.ome.zarr", walls(*shape))
    write_volume(truth := tmp_path / "cubes.ome.zarr", cells(*shape), kind="labels")
    check(bind(emkit.score, found, truth, dim=dim), tmp_path, record_property)
