"""VAST Lite (https://lichtman.rc.fas.harvard.edu/vast): images written as `.vsvi` with PNG tiles, exported segmentations read.

A `.vsvi` is JSON that names tiles by templates: mip level, section, row and column from 1 on, each tile 8 bits. VAST exports a
segmentation as images whose grey value, or whose RGB as one number of 24 bits (red the highest byte), is the number of a segment;
its colour file tells of each segment 24 numbers and a name. Axis order is (z, y, x).
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import DataError, PathError
from emkit.io.sections import SUFFIXES, natural
from emkit.model import Shape, SizeNm, VolumeKind

TILE_PX, VSVI_DTYPE = 1024, "uint8"
TEMPLATE = "mip{m}/slice{s:04d}/{s:04d}_tr{r}-tc{c}.png"
VAST_TEMPLATE = r".\mip%d\slice%04d\%04d_tr%d-tc%d.png"
NUMBERS = 24  # of a segment in a colour file, before its name
LINE = re.compile(rf'((?:-?\d+\s+){{{NUMBERS}}})"(.*)"\s*$')
SEVERAL = re.compile(r"_Y(\d+)_X(\d+)$", re.I)
KEPT = 4  # decoded sections


def levels_of(shape: Shape) -> int:
    """How many mip levels an image has: halved in y and x until it fits a tile."""
    levels = 1
    while max(shape[1:]) > TILE_PX << (levels - 1):
        levels += 1
    return levels


def write_vsvi(out: Path, shape: Shape, voxel_size_nm: SizeNm, name: str) -> Path:
    """The description of an image of this shape, `NAME.vsvi` in a folder that is there."""
    depth, height, width = shape
    z_nm, y_nm, x_nm = voxel_size_nm
    told = {
        "Comment": f"{name}, written by emkit",
        "ServerType": "imagetiles",
        "SourceFileNameTemplate": VAST_TEMPLATE.replace("mip%d", "mip0"),
        "SourceParamSequence": "ssrc",
        "SourceMinS": 0,
        "SourceMaxS": depth - 1,
        "SourceMinR": 1,
        "SourceMaxR": -(-height // TILE_PX),
        "SourceMinC": 1,
        "SourceMaxC": -(-width // TILE_PX),
        "MipMapFileNameTemplate": VAST_TEMPLATE,
        "MipMapParamSequence": "mssrc",
        "SourceMinM": 1,
        "SourceMaxM": levels_of(shape) - 1,
        "SourceTileSizeX": TILE_PX,
        "SourceTileSizeY": TILE_PX,
        "SourceBytesPerPixel": 1,
        "MissingImagePolicy": "black",
        "TargetDataSizeX": width,
        "TargetDataSizeY": height,
        "TargetDataSizeZ": depth,
        "OffsetX": 0,
        "OffsetY": 0,
        "OffsetZ": 0,
        "OffsetMip": 0,
        "TargetVoxelSizeXnm": x_nm,
        "TargetVoxelSizeYnm": y_nm,
        "TargetVoxelSizeZnm": z_nm,
        "TargetLayerName": name,
    }
    (file := out / f"{name}.vsvi").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return file


def write_tiles(out: Path, z: int, section: NDArray[np.uint8]) -> list[Path]:
    """A section (y, x) as tiles of all levels; the files. A pixel of a level is a mean of four; tiles at the rim are filled up."""
    from PIL import Image

    files = []
    whole = section
    for level in range(levels_of((1, *section.shape))):
        if level:
            even = np.pad(whole, [(0, n % 2) for n in whole.shape], mode="edge")
            blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
            whole = np.rint(blocks.mean((1, 3), dtype=np.float32)).astype(np.uint8)
        for row in range(0, whole.shape[0], TILE_PX):
            for column in range(0, whole.shape[1], TILE_PX):
                tile = np.zeros((TILE_PX, TILE_PX), np.uint8)
                found = whole[row : row + TILE_PX, column : column + TILE_PX]
                tile[: found.shape[0], : found.shape[1]] = found
                file = out / TEMPLATE.format(m=level, s=z, r=row // TILE_PX + 1, c=column // TILE_PX + 1)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(tile).save(file, compress_level=1)
                files.append(file)
    return files


@dataclass(frozen=True)
class Segment:
    """One segment of a colour file: its name, colour (r, g, b), the segment it is grouped under (0: none), its anchor (z, y, x)."""

    name: str
    colour: tuple[int, int, int]
    parent: int
    anchor: tuple[int, int, int]


def read_colours(file: Path) -> dict[int, Segment]:
    """The segments of a colour file, by number. DataError for a line that is no segment."""
    found = {}
    for number, line in enumerate(file.read_text(encoding="latin-1").splitlines(), 1):
        if not line.strip() or line.startswith("%"):
            continue
        if not (told := LINE.match(line.strip())):
            raise DataError(
                f"{file}, line {number}: {line[:60]!r}; needed: {NUMBERS} numbers and a name in quotes, as VAST writes them. "
                "Export it again: File, Save Segment Colors."
            )
        values = [int(value) for value in told[1].split()]
        red, green, blue = values[2:5]
        x, y, z = values[10:13]
        found[values[0]] = Segment(told[2], (red, green, blue), values[13], (z, y, x))
    return found


@dataclass(frozen=True)
class VastExport:
    """An exported segmentation, a file a section. `segments` is what its colour file tells, empty where there is none."""

    files: tuple[Path, ...]
    shape: Shape
    segments: dict[int, Segment]
    dtype: str = "uint32"
    voxel_size_nm: SizeNm | None = None
    origin_nm: SizeNm = (0.0, 0.0, 0.0)
    kind: VolumeKind | None = "labels"

    def read(self, block: Block) -> NDArray[Any]:
        """The numbers of segments of a block. DataError where a section is of another size, or not an image."""
        _, rows, columns = block.slices
        return np.stack([self._section(z)[rows, columns] for z in range(*block.z)])

    def _section(self, z: int) -> NDArray[np.uint32]:
        found = _decoded(self.files[z])
        if found.shape != self.shape[1:]:
            raise DataError(
                f"{self.files[z]} is {found.shape} px (y, x), others are {self.shape[1:]}; needed: all alike. Export again."
            )
        return found


def is_vast(folder: Path) -> bool:
    """Whether a folder of images has a colour file of VAST beside them."""
    for file in sorted(folder.glob("*.txt")):
        with file.open(encoding="latin-1") as lines:
            if (first := next((line for line in lines if line.strip() and not line.startswith("%")), "")) and LINE.match(
                first.strip()
            ):
                return True
    return False


def open_vast(folder: Path) -> VastExport:
    """A folder of images that VAST exported of a segmentation, in natural order, with the colour file if it lies there too.

    PathError where there are no images, or several for a section.
    """
    files = sorted((file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES), key=lambda file: natural(file.name))
    if not files:
        raise PathError(f"{folder} holds no images ({', '.join(SUFFIXES)}); needed: what VAST exports of a segmentation.")
    if len({found[0] for file in files if (found := SEVERAL.search(file.stem))}) > 1:
        raise PathError(f"{folder} holds several tiles of each section; needed: one image of each. Export again with one tile.")
    colours = sorted(folder.glob("*.txt"))
    return VastExport(tuple(files), (len(files), *_decoded(files[0]).shape), read_colours(colours[0]) if colours else {})


@lru_cache(maxsize=KEPT)
def _decoded(file: Path) -> NDArray[np.uint32]:
    import tifffile
    from PIL import Image, UnidentifiedImageError

    try:
        pixels = np.asarray(Image.open(file)) if file.suffix.lower() == ".png" else tifffile.imread(file)
    except (OSError, UnidentifiedImageError, ValueError, tifffile.TiffFileError) as wrong:
        raise DataError(f"{file} cannot be decoded: {wrong}. Needed: a PNG or TIFF as VAST exports it.") from None
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        red, green, blue = (pixels[..., k].astype(np.uint32) for k in range(3))
        number: NDArray[np.uint32] = red << np.uint32(16) | green << np.uint32(8) | blue
        return number
    if pixels.ndim != 2 or pixels.dtype.kind != "u":
        raise DataError(f"{file} holds {pixels.dtype} of shape {pixels.shape}; needed: numbers of segments, in grey or in RGB.")
    return pixels.astype(np.uint32)
