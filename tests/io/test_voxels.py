"""Whatever holds voxels is read as the same array; what does not is refused by its path."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from emkit.blocks import Block
from emkit.errors import PathError
from emkit.io.voxels import open_voxels
from tests.io.readers import write_volume

ARRAY = np.random.default_rng(0).integers(0, 60_000, (3, 20, 30), dtype=np.uint16)
PART = Block((1, 3), (4, 20), (0, 7))


def test_the_same_voxels_from_a_stack_a_folder_and_a_volume(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", ARRAY, photometric="minisblack")
    (tmp_path / "folder").mkdir()
    for z, pixels in enumerate(ARRAY):
        tifffile.imwrite(tmp_path / "folder" / f"{z}.tif", pixels)
    write_volume(tmp_path / "v.ome.zarr", ARRAY, (40.0, 4.0, 4.0))
    for name in ("stack.tif", "folder", "v.ome.zarr"):
        found = open_voxels(tmp_path / name)
        assert (found.shape, found.dtype) == (ARRAY.shape, "uint16")
        np.testing.assert_array_equal(found.read(PART), ARRAY[PART.slices])
    one = open_voxels(tmp_path / "folder" / "2.tif")
    np.testing.assert_array_equal(one.read(Block((0, 1), (0, 20), (0, 30))), ARRAY[2:])


def test_what_holds_no_voxels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(PathError, match="notes.txt is no image"):
        open_voxels(tmp_path / "notes.txt")
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
        tiff.write(ARRAY[0])
        tiff.write(ARRAY[0, :9])
    with pytest.raises(PathError, match="mixed.tif holds 2 pages, not all of them"):
        open_voxels(tmp_path / "mixed.tif")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    with pytest.raises(PathError, match="damaged.tif is cut short"):
        open_voxels(tmp_path / "damaged.tif")
