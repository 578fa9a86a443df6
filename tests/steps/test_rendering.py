"""What was aligned once is rendered again: at any level, other images, labels; and points go there and back."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import emkit
from emkit.align import read_alignment, read_map
from emkit.errors import DataError, EmkitError, ParameterError
from emkit.io.omezarr import read_levels, read_volume

VOXEL_NM = (45.0, 4.6, 4.6)
SIZE, COUNT = 160, 3


@pytest.fixture(scope="module", params=["affine", "elastic"])
def aligned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sections, labels of them, and their alignment in which the first two are swapped."""
    base = tmp_path_factory.mktemp(request.param)
    emkit.make_phantom(out=base / "raw", sections=COUNT, size_px=SIZE, seed=4)
    asked: dict[str, Any] = dict(model=request.param, voxel_size_nm=VOXEL_NM, remedies=("0:swap=1",))
    emkit.align_sections(base / "raw", out=base / "a.ome.zarr", **asked)
    (base / "labels").mkdir()
    for path in (base / "raw").glob("*.tif"):
        bright = tifffile.imread(path) > 140
        tifffile.imwrite(base / "labels" / path.name, (bright * 70_000 + 7).astype(np.uint32), compression="zlib")
    return base


def voxels(volume: Path, level: int = 0) -> np.ndarray:
    return np.asarray(emkit.open_volume(volume, level=level))


def test_the_same_sections_give_the_same_volume(aligned: Path, tmp_path: Path) -> None:
    said = emkit.render(aligned / "a.ome.zarr", aligned / "raw", out=tmp_path / "r.ome.zarr")
    np.testing.assert_array_equal(voxels(tmp_path / "r.ome.zarr"), voxels(aligned / "a.ome.zarr"))
    assert str(said) == "3 x 160 x 160 voxels (z, y, x) of 45 x 4.6 x 4.6 nm, uint8"


def test_a_coarse_level_shows_what_the_pyramid_does(aligned: Path, tmp_path: Path) -> None:
    emkit.render(aligned / "a.ome.zarr", aligned / "raw", out=tmp_path / "r.ome.zarr", level=1)
    coarse, shown = read_levels(tmp_path / "r.ome.zarr")[0], read_levels(aligned / "a.ome.zarr")[1]
    assert (coarse.shape, coarse.voxel_size_nm, coarse.origin_nm) == (shown.shape, shown.voxel_size_nm, shown.origin_nm)
    both = voxels(tmp_path / "r.ome.zarr"), voxels(aligned / "a.ome.zarr", 1)
    ours, theirs = (seen.astype(float)[:, 12:-12, 12:-12] for seen in both)
    assert np.abs(ours - theirs).mean() < 4
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98


def test_labels_keep_their_values_and_lie_where_their_sections_do(aligned: Path, tmp_path: Path) -> None:
    said = emkit.apply_transforms(aligned / "a.ome.zarr", out=tmp_path / "out", labels=aligned / "labels")
    assert str(said) == "0 points in points.csv, 3 sections of labels in labels.ome.zarr"
    assert [path.name for path in sorted((tmp_path / "out").glob("*zarr"))] == ["labels.ome.zarr"]
    volume = read_volume(tmp_path / "out" / "labels.ome.zarr")
    labels, grey = voxels(volume.path), voxels(aligned / "a.ome.zarr")
    assert volume.kind == "labels" and labels.dtype == "uint32"
    assert set(np.unique(labels)) <= {0, 7, 70_007}
    for plane, section in zip(labels, grey, strict=True):
        sure = (plane > 0) & (np.abs(section.astype(int) - 140) > 25)
        assert ((plane == 70_007) == (section > 140))[sure].mean() > 0.99
    emkit.render(aligned / "a.ome.zarr", aligned / "labels", out=tmp_path / "coarse", level=2, labels=True)
    assert set(np.unique(voxels(tmp_path / "coarse"))) <= {0, 7, 70_007}


def test_points_go_where_their_sections_go_and_come_back(aligned: Path, tmp_path: Path) -> None:
    told = [(0, 60.25, 80.0, "axon, thick"), (1, 90.0, 70.5, "soma"), (2, 44.0, 100.0, "")]
    with (tmp_path / "points.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "x", "y", "z"), *((name, x, y, z) for z, y, x, name in told)])
    volume = aligned / "a.ome.zarr"
    emkit.apply_transforms(volume, out=tmp_path / "out", points=tmp_path / "points.csv")
    with (tmp_path / "out" / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], int(row["z"])) for row in rows] == [("axon, thick", 1), ("soma", 0), ("", 2)]  # two were swapped
    report = read_alignment(volume)
    for row, (_, y, x, _) in zip(rows, told, strict=True):
        np.testing.assert_allclose(
            read_map(volume, report, int(row["z"]))([[float(row["y"]), float(row["x"])]]), [[y, x]], atol=2e-3
        )
    emkit.apply_transforms(volume, out=tmp_path / "back", points=tmp_path / "out" / "points.csv", towards="sections")
    with (tmp_path / "back" / "points.csv").open(newline="") as file:
        for row, (z, y, x, name) in zip(csv.DictReader(file), told, strict=True):
            assert (int(row["z"]), row["name"]) == (z, name)
            np.testing.assert_allclose([float(row["y"]), float(row["x"])], [y, x], atol=2e-3)


@pytest.mark.parametrize(
    ("table", "asked", "kind", "said"),
    [
        ("z,y\n", {}, DataError, "no column x"),
        ("z,y,x\n0,1,far\n", {}, DataError, "line 2: found"),
        ("z,y,x\n0,1,2\n3,1,1\n", {}, DataError, "line 3: found z = 3; needed: finite numbers, z of 0 to 2"),
        ("z,y,x\n0,nan,2\n", {}, DataError, "line 2"),
        ("", {"points": None}, ParameterError, "found neither"),
        ("z,y,x\n", {"labels": Path("labels"), "towards": "sections"}, ParameterError, "cannot be cut back"),
    ],
)
def test_what_cannot_be_carried_is_refused(
    aligned: Path, tmp_path: Path, table: str, asked: dict[str, Any], kind: type[EmkitError], said: str
) -> None:
    (points := tmp_path / "points.csv").write_text(table)
    given = {"points": points, **asked}
    if "labels" in asked:
        given["labels"] = aligned / "labels"
    with pytest.raises(kind, match=said):
        emkit.apply_transforms(aligned / "a.ome.zarr", out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_sections_that_are_not_those_are_refused(aligned: Path, tmp_path: Path) -> None:
    (aligned / "few").mkdir(exist_ok=True)
    tifffile.imwrite(aligned / "few" / "1.tif", np.ones((SIZE, SIZE), np.uint8))
    with pytest.raises(ParameterError, match="holds 1 sections, the alignment tells of 3"):
        emkit.render(aligned / "a.ome.zarr", aligned / "few", out=tmp_path / "out")
    with pytest.raises(ParameterError, match="level: found 9"):
        emkit.render(aligned / "a.ome.zarr", aligned / "raw", out=tmp_path / "out", level=9)
