"""What a folder holds, by what lies in it, and a volume of any format as one lazy array. Axis order is (z, y, x)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.io.stores import read_store
from emkit.model import Shape, SizeNm, VolumeKind

if TYPE_CHECKING:
    import tensorstore

Format = Literal["OME-Zarr", "precomputed", "N5", "sections"]


class Voxels(Protocol):
    """The full resolution of something on disk: what its format tells of it, None for what it does not tell."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> str: ...
    @property
    def voxel_size_nm(self) -> SizeNm | None: ...
    @property
    def origin_nm(self) -> SizeNm: ...
    @property
    def kind(self) -> VolumeKind | None: ...

    def read(self, block: Block) -> NDArray[Any]:
        """The voxels of a block, (z, y, x)."""


@dataclass(frozen=True)
class Array:
    """The voxels of a volume; its store begins at (0, 0, 0)."""

    store: "tensorstore.TensorStore"
    voxel_size_nm: SizeNm | None
    origin_nm: SizeNm = (0.0, 0.0, 0.0)
    kind: VolumeKind | None = None

    @property
    def shape(self) -> Shape:
        z, y, x = self.store.shape
        return z, y, x

    @property
    def dtype(self) -> str:
        return self.store.dtype.numpy_dtype.name

    def read(self, block: Block) -> NDArray[Any]:
        return np.ascontiguousarray(read_store(self.store[block.slices]))


def format_of(folder: Path) -> Format:
    """By the metadata file that lies in the folder; where there is none it should be images."""
    if (folder / "zarr.json").is_file() or (folder / ".zattrs").is_file():
        return "OME-Zarr"
    if (folder / "info").is_file():
        return "precomputed"
    return "N5" if (folder / "attributes.json").is_file() else "sections"


def open_array(folder: Path) -> Array:
    """A volume in OME-Zarr, precomputed or N5; PathError for what cannot be read as what it seems to be."""
    from emkit.io.n5 import open_n5
    from emkit.io.omezarr import open_level, read_volume
    from emkit.io.precomputed import open_precomputed

    if (found := format_of(folder)) == "precomputed":
        return open_precomputed(folder)
    if found == "N5":
        return open_n5(folder)
    volume = read_volume(folder)
    return Array(open_level(folder), volume.levels[0].voxel_size_nm, volume.levels[0].origin_nm, volume.kind)
