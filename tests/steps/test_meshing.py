"""Meshes and skeletons of planted objects: closed, of the right size and place, at every level, and shown beside the volume."""

from pathlib import Path

import numpy as np
import pytest

from emkit import mesh, skeletonize
from emkit.errors import ParameterError
from emkit.io.meshes import read_mesh
from emkit.io.skeletons import read_skeleton
from tests.io.readers import write_volume

NM = (20.0, 10.0, 10.0)
CENTRE, RADIUS_NM = np.array([30.0, 70.0, 66.0]), 350.0


def ball() -> np.ndarray:
    """A ball that spans cubes each way (5), a rod along x from rim to rim (7)."""
    z, y, x = np.ogrid[:60, :140, :132]
    inside = ((z - CENTRE[0]) * NM[0]) ** 2 + ((y - CENTRE[1]) * NM[1]) ** 2 + ((x - CENTRE[2]) * NM[2]) ** 2 <= RADIUS_NM**2
    labels = np.where(inside, 5, 0).astype(np.uint32)
    labels[4:8, 8:16, :] = 7
    return labels


def is_closed(faces: np.ndarray) -> bool:
    """Every edge belongs to two triangles that go along it in opposite ways."""
    ways = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    return sorted(map(tuple, ways)) == sorted((b, a) for a, b in ways)


def volume_of(points: np.ndarray, faces: np.ndarray) -> float:
    """Signed: positive where faces are seen from outside counterclockwise in (x, y, z)."""
    a, b, c = (points[faces[:, k], ::-1] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_volume(path := tmp_path / "s.ome.zarr", ball(), NM, "labels")
    return path


def test_a_ball_is_closed_and_of_its_size_at_every_level(labels: Path, tmp_path: Path) -> None:
    report = mesh(labels, out=tmp_path / "s.mesh")
    assert report.objects == 2 and report.levels >= 2
    for lod in range(report.levels):
        points, faces = read_mesh(tmp_path / "s.mesh", 5, lod)
        assert is_closed(faces)
        assert volume_of(points, faces) == pytest.approx(4 / 3 * np.pi * RADIUS_NM**3, rel=0.1 * 2**lod)
        np.testing.assert_allclose((points.min(0) + points.max(0)) / 2, CENTRE * NM, atol=15 * 2**lod)
    points, faces = read_mesh(tmp_path / "s.mesh", 7)
    assert is_closed(faces)  # at the rim of the volume too
    assert points[:, 2].min() < 0 and points[:, 2].max() > 131 * NM[2]


def test_chosen_objects_of_a_coarser_level(labels: Path, tmp_path: Path) -> None:
    report = mesh(labels, out=tmp_path / "s.mesh", objects=[5, 99], finest_level=1)
    assert (report.objects, report.missing) == (1, (99,))
    points, faces = read_mesh(tmp_path / "s.mesh", 5)
    assert is_closed(faces)
    np.testing.assert_allclose((points.min(0) + points.max(0)) / 2, CENTRE * NM, atol=25)


def test_the_skeleton_of_a_rod_is_its_axis(labels: Path, tmp_path: Path) -> None:
    report = skeletonize(labels, out=tmp_path / "s.skeletons", objects=[7, 99])
    assert (report.objects, report.missing) == (1, (99,))
    skeleton = read_skeleton(tmp_path / "s.skeletons", 7)
    assert skeleton.length_nm == pytest.approx(131 * NM[2], rel=0.1)
    inner = skeleton.points[(skeleton.points[:, 2] > 200) & (skeleton.points[:, 2] < 1100)]
    np.testing.assert_allclose(inner.mean(0)[:2], (5.5 * NM[0], 11.5 * NM[1]), atol=12)
    assert skeleton.radii.max() == pytest.approx(2 * NM[0], abs=12)
    again = skeletonize(labels, out=tmp_path / "all.skeletons", level=1)
    assert again.objects == 2


def test_images_have_no_objects(tmp_path: Path) -> None:
    write_volume(tmp_path / "i.ome.zarr", ball().astype(np.uint8), NM)
    with pytest.raises(ParameterError, match="i.ome.zarr holds an image; needed: labels"):
        mesh(tmp_path / "i.ome.zarr", out=tmp_path / "s.mesh")
