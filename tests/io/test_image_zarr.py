"""Images of PyReconstruct: every pixel at scale 1, as many rows at the others as it looks for, and refused what it cannot show."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from emkit import convert, open_volume
from emkit.errors import ParameterError, PathError
from emkit.io.image_zarr import open_images, scales, write_image

VOXEL_NM = (45.0, 4.6, 4.6)
IMAGES = np.random.default_rng(0).integers(1, 255, (3, 61, 47), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "sections").mkdir()
    for z, pixels in enumerate(IMAGES):
        tifffile.imwrite(made / f"s{9 + z}.tif", pixels)
    return made


def test_sections_become_images_and_come_back(folder: Path, tmp_path: Path) -> None:
    convert(folder, out=(out := tmp_path / "images.zarr"), to="pyreconstruct", voxel_size_nm=VOXEL_NM)
    group = zarr.open_group(out, mode="r")
    assert group.metadata.zarr_format == 2
    for z, pixels in enumerate(IMAGES):
        np.testing.assert_array_equal(group[f"scale_1/s{9 + z}.tif"][:], pixels)  # type: ignore[index, union-attr, unused-ignore]
    report = convert(out, out=tmp_path / "v.ome.zarr")
    assert (report.source_format, report.voxel_size_nm) == ("PyReconstruct images", VOXEL_NM)
    np.testing.assert_array_equal(open_volume(tmp_path / "v.ome.zarr"), IMAGES)
    convert(tmp_path / "v.ome.zarr", out=(again := tmp_path / "again.zarr"), to="pyreconstruct")
    assert sorted(path.name for path in (again / "scale_1").glob("*.tif")) == ["0.tif", "1.tif", "2.tif"]


def test_scales_have_the_rows_that_are_looked_for(tmp_path: Path) -> None:
    """It takes the row round(height / scale) for the last one, and reads beyond an image that has fewer."""
    pixels = np.add.outer(np.arange(2049) // 10, np.arange(1030) // 100).astype(np.uint8)
    (tmp_path / "i.zarr").mkdir()
    assert scales((2049, 1030)) == [1, 2]
    write_image(tmp_path / "i.zarr", "a.tif", pixels)
    coarse = zarr.open_array(tmp_path / "i.zarr/scale_2/a.tif", mode="r")[:]
    assert coarse.shape == (round(2049 / 2), 515)  # type: ignore[union-attr, unused-ignore]
    means = pixels[:2048].reshape(1024, 2, 515, 2).mean(axis=(1, 3))
    assert np.abs(coarse - means).max() <= 0.5  # type: ignore[operator, unused-ignore]


def test_what_cannot_be_shown_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="out: found .images; needed: a name that ends in zarr"):
        convert(folder, out=tmp_path / "my.images", to="pyreconstruct", voxel_size_nm=VOXEL_NM)
    tifffile.imwrite(folder / "s9.tif", IMAGES[0].astype(np.uint16))
    for z in (10, 11):
        (folder / f"s{z}.tif").unlink()
    with pytest.raises(ParameterError, match="shows grey of 8 bits; found uint16"):
        convert(folder, out=tmp_path / "i.zarr", to="pyreconstruct", voxel_size_nm=VOXEL_NM)


def test_images_that_do_not_make_a_stack(tmp_path: Path) -> None:
    for name, size in (("a.tif", 5), ("b.tif", 6)):
        write_image(tmp_path, name, IMAGES[0, :size, :size])
    with pytest.raises(PathError, match=r"holds images of \(5, 5\), \(6, 6\) px; needed: uint8 of one shape"):
        open_images(tmp_path)
    array = tmp_path / "scale_1/a.tif/.zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"zarr_format": 7}))
    with pytest.raises(PathError, match=r"a.tif cannot be read as zarr of format 2"):
        open_images(tmp_path)
