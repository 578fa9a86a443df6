"""Sections in blocks: a block needs a window of many sections, and a section is in many blocks. Axis order is (z, y, x).

An uncompressed TIFF is mapped where it lies. Anything else is decoded once, into a file that can be mapped, so that the work
grows with the volume and not with the number of blocks that cut it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.io.sections import map_section, read_section
from emkit.model import Shape, SizeNm, Stack, VolumeKind
from emkit.provenance import Written, await_files, written

SPOOL = "decoded"  # a folder within an unfinished output


@dataclass(frozen=True)
class SectionImages:
    """The sections of a folder (`emkit.io.arrays.Voxels`), each decoded when it is read."""

    stack: Stack
    voxel_size_nm: SizeNm | None = None
    origin_nm: SizeNm = (0.0, 0.0, 0.0)
    kind: VolumeKind | None = None

    @property
    def shape(self) -> Shape:
        return len(self.stack.files), *self.stack.shape

    @property
    def dtype(self) -> str:
        return self.stack.dtype

    def read(self, block: Block) -> NDArray[Any]:
        _, y, x = block.slices
        return np.stack([read_section(self.stack, z)[y, x] for z in range(*block.z)])


@dataclass(frozen=True)
class Spool(SectionImages):
    """The sections of a stack; `folder` holds those that had to be decoded."""

    folder: Path = field(kw_only=True)

    def decode(self, z: int) -> list[Path]:
        """Make section `z` readable in blocks; the file that was needed for it. DataError if its pixels cannot be decoded or are
        not finite."""
        mapped = map_section(self.stack.files[z].path)
        if mapped is not None and np.dtype(self.dtype).kind != "f":
            return []
        pixels = read_section(self.stack, z)
        if mapped is not None:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self._decoded(z), pixels)
        return [self._decoded(z)]

    def read(self, block: Block) -> NDArray[Any]:
        """The voxels of a block, whose sections have been decoded."""
        voxels = np.empty(block.shape, self.dtype)
        for k, z in enumerate(range(*block.z)):
            voxels[k] = self.section(z)[slice(*block.y), slice(*block.x)]
        return voxels

    def section(self, z: int) -> NDArray[Any]:
        """A section that has been decoded, (y, x), where it lies on the disk; of an image file in its byte order."""
        mapped = map_section(self.stack.files[z].path)
        if mapped is None:
            await_files(self._decoded(z))
            mapped = np.load(self._decoded(z), mmap_mode="r")
        return mapped

    def needs_room(self) -> bool:
        """Whether sections must be decoded, by the first of them."""
        return map_section(self.stack.files[0].path) is None

    def _decoded(self, z: int) -> Path:
        return self.folder / f"{z}.npy"


def decode_section(spool: Spool, z: int) -> Written:
    """One task: a section of the source, decoded once and checked."""
    return written(spool.folder.parent, *spool.decode(z))
