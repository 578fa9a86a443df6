"""Plans of the steps from membranes to scored cells against reality: see `test_plans`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emkit
from emkit.model import SizeNm
from emkit.run.step import bind
from tests.io.readers import write_volume
from tests.run.test_plans import check

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
