"""Small volumes for tests, and every reader's opinion of them."""

import hashlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.io.omezarr import build_block, create_volume, levels_to_build, shard_grid, write_block
from emkit.model import SizeNm, VolumeKind

VNC_NM: SizeNm = (45.0, 4.6, 4.6)


def write_volume(
    out: Path,
    array: NDArray[Any],
    voxel_size_nm: SizeNm = VNC_NM,
    kind: VolumeKind = "image",
    *,
    seed: int = 0,
    chunk_px: int = 64,
    shard_px: int = 512,
) -> None:
    """The array as a volume, its blocks in the order of a seed."""
    shape = array.shape[0], array.shape[1], array.shape[2]
    dtype = array.dtype.name
    create_volume(out, shape=shape, dtype=dtype, voxel_size_nm=voxel_size_nm, kind=kind, chunk_px=chunk_px, shard_px=shard_px)
    for level in [0, *levels_to_build(out)]:
        blocks = shard_grid(out, level)
        Random(seed).shuffle(blocks)
        for block in blocks:
            if level:
                build_block(out, level, block)
            else:
                write_block(out, block, np.ascontiguousarray(array[block.slices]))


def digests(folder: Path) -> dict[str, str]:
    """Every file below the folder with the digest of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
