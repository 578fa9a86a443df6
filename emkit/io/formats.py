"""What a folder holds, by what lies in it."""

from pathlib import Path
from typing import Literal

from emkit.io.arrays import Array, Voxels
from emkit.io.image_zarr import is_images, open_images
from emkit.io.n5 import open_n5
from emkit.io.omezarr import open_level, read_volume
from emkit.io.precomputed import open_precomputed
from emkit.io.vast import is_vast, open_vast

Format = Literal["OME-Zarr", "precomputed", "N5", "PyReconstruct images", "VAST segmentation", "sections"]


def format_of(folder: Path) -> Format:
    """By the metadata file that lies in the folder; where there is none it should be images."""
    if is_images(folder):
        return "PyReconstruct images"
    if (folder / "zarr.json").is_file() or (folder / ".zattrs").is_file():
        return "OME-Zarr"
    if (folder / "info").is_file():
        return "precomputed"
    if (folder / "attributes.json").is_file():
        return "N5"
    return "VAST segmentation" if is_vast(folder) else "sections"


def open_array(folder: Path) -> Voxels:
    """A volume in OME-Zarr, precomputed, N5, images of PyReconstruct or an exported segmentation of VAST; PathError for what cannot
    be read as what it seems."""
    if (found := format_of(folder)) == "precomputed":
        return open_precomputed(folder)
    if found == "N5":
        return open_n5(folder)
    if found == "PyReconstruct images":
        return open_images(folder)
    if found == "VAST segmentation":
        return open_vast(folder)
    volume = read_volume(folder)
    return Array(open_level(folder), volume.levels[0].voxel_size_nm, volume.levels[0].origin_nm, volume.kind)
