"""A volume of any format as one lazy array. Axis order is (z, y, x)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.io.stores import read_store
from emkit.model import Shape, SizeNm, VolumeKind

if TYPE_CHECKING:
    import tensorstore


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
