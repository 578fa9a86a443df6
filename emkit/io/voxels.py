"""Images and labels as they are handed in: a volume, a folder of sections, or one file of sections. Axis order is (z, y, x)."""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import DataError, PathError
from emkit.io.arrays import Voxels
from emkit.io.formats import format_of, open_array
from emkit.io.headers import DTYPES, read_header
from emkit.io.sections import SUFFIXES, open_stack, read_image
from emkit.io.spool import SectionImages
from emkit.model import Shape, SizeNm, VolumeKind


@dataclass(frozen=True)
class ImageFile:
    """One file: a PNG, or a TIFF with a page for each section."""

    path: Path
    shape: Shape
    dtype: str
    voxel_size_nm: SizeNm | None = None
    origin_nm: SizeNm = (0.0, 0.0, 0.0)
    kind: VolumeKind | None = None

    def read(self, block: Block) -> NDArray[Any]:
        _, y, x = block.slices
        if self.shape[0] == 1:
            return read_image(self.path)[None, y, x]
        import tifffile

        try:
            pages = [tifffile.imread(self.path, key=z)[y, x] for z in range(*block.z)]
        except (RuntimeError, ValueError, LookupError, struct.error, tifffile.TiffFileError) as wrong:
            raise DataError(
                f"{self.path} cannot be decoded: {wrong}. Needed: a whole TIFF. Copy it again from its source."
            ) from None
        return np.stack(pages)


def open_voxels(path: Path) -> Voxels:
    """The voxels at a path, headers only. PathError for what is no volume, no folder of sections and no image."""
    if path.is_dir():
        return SectionImages(open_stack(path, allow_gaps=True)) if format_of(path) == "sections" else open_array(path)
    if path.suffix.lower() not in SUFFIXES:
        raise PathError(
            f"{path} is no image ({', '.join(SUFFIXES)}); needed: a volume, a folder of section images, or one such file."
        )
    if path.suffix.lower() != ".png" and (found := _pages(path)):
        return found
    header = read_header(path)
    return ImageFile(path, (1, *header.shape), header.dtype)


def _pages(path: Path) -> ImageFile | None:
    """A TIFF with several sections; None for any other, which the reader of single images knows more of."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would log of a damaged file is raised
    try:
        with tifffile.TiffFile(path) as tiff:
            alike = {(page.shape, page.dtype) for page in tiff.pages}
            count = len(tiff.pages)
    except (OSError, tifffile.TiffFileError, ValueError, IndexError, KeyError, struct.error):
        return None
    if count < 2:
        return None
    (shape, dtype), *others = alike
    if others or len(shape) != 2 or dtype is None or dtype.name not in DTYPES:
        raise PathError(
            f"{path} holds {count} pages, not all of them gray images of one size and type; needed: a page a section, all alike."
        )
    return ImageFile(path, (count, shape[0], shape[1]), dtype.name)
