"""Neuroglancer precomputed, in and out, through tensorstore. On disk its axes are (x, y, z, channel), here (z, y, x).

Format: https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed. Voxels lie between integers there:
the first one of a volume without offset has its centre at half a voxel. OME-Zarr puts voxel centres at integers.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from emkit.blocks import CHUNK_PX, Block
from emkit.errors import ParameterError, PathError
from emkit.io.arrays import Array
from emkit.io.stores import create_store, finish, kvstore
from emkit.model import Level, SizeNm, Volume
from emkit.provenance import Written, written

if TYPE_CHECKING:
    import tensorstore

DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")


def open_precomputed(folder: Path) -> Array:
    """The finest scale of a volume of one channel."""
    import tensorstore

    info = folder / "info"
    try:
        kind = json.loads(info.read_text(encoding="utf-8"))["type"]
        store = tensorstore.open(_spec(folder), open=True, read=True).result()
    except (OSError, ValueError, KeyError) as wrong:
        raise PathError(f"{info} cannot be read as the metadata of a Neuroglancer precomputed volume: {wrong}") from None
    if store.shape[3] != 1:
        raise PathError(f"{folder} has {store.shape[3]} channels; needed: one. Take out one channel first.")
    x, y, z = (unit.multiplier for unit in store.dimension_units[:3] if unit)  # in nm by the format
    corner = store.domain.origin
    origin = ((corner[2] + 0.5) * z, (corner[1] + 0.5) * y, (corner[0] + 0.5) * x)
    return Array(_zyx(store), (z, y, x), origin, "labels" if kind == "segmentation" else "image")


def check_writable(source: Path, dtype: str) -> None:
    """Refuse what precomputed has no words for."""
    if dtype not in DTYPES:
        raise ParameterError(f"{source} has voxels of {dtype}; needed for precomputed: {', '.join(DTYPES)}. Convert them.")


def writable_levels(volume: Volume) -> list[tuple[Level, tuple[int, int, int]]]:
    """The levels that can be scales, each with its offset (z, y, x) in voxels, which must be whole at every scale."""
    finest = volume.levels[0]
    corner = [round(origin / size - 0.5) for origin, size in zip(finest.origin_nm, finest.voxel_size_nm, strict=True)]
    found = []
    for level in volume.levels:
        factors = [round(c / f) for c, f in zip(level.voxel_size_nm, finest.voxel_size_nm, strict=True)]
        if all(offset % factor == 0 for offset, factor in zip(corner, factors, strict=True)):
            z, y, x = (offset // factor for offset, factor in zip(corner, factors, strict=True))
            found.append((level, (z, y, x)))
    return found


def create_precomputed(out: Path, volume: Volume) -> None:
    """Write the metadata: one scale for each writable level, chunks as they are, not compressed."""

    kind = "segmentation" if volume.kind == "labels" else "image"
    for level, (oz, oy, ox) in writable_levels(volume):
        metadata = {
            "size": level.shape[::-1],
            "voxel_offset": (ox, oy, oz),
            "resolution": level.voxel_size_nm[::-1],
            "chunk_size": [min(CHUNK_PX, n) for n in level.shape[::-1]],
            "encoding": "raw",
        }
        told = {"multiscale_metadata": {"type": kind, "data_type": level.dtype, "num_channels": 1}, "scale_metadata": metadata}
        create_store(_spec(out) | told)


def write_scale_block(out: Path, voxel_size_nm: SizeNm, block: Block, array: NDArray[Any]) -> Written:
    """Voxels of a block of the scale of this resolution; the block begins and ends at chunks, which are a file each."""
    import tensorstore

    spec = _spec(out) | {"scale_metadata": {"resolution": voxel_size_nm[::-1]}}
    store = tensorstore.open(spec, open=True, write=True).result()
    finish([_zyx(store)[block.slices].write(array)])
    return written(out, *(file for file in _chunk_files(out, store, block) if file.exists()))


def _chunk_files(out: Path, store: "tensorstore.TensorStore", block: Block) -> Iterator[Path]:
    """The file of each chunk of a block, by the format's names: x, y, z, half-open, with the offset of the volume."""
    folder = out / store.spec().to_json()["scale_metadata"]["key"]
    sides: Any = store.chunk_layout.read_chunk.shape  # x, y, z, channel, as all of a store of this format
    axes = zip((block.x, block.y, block.z), sides, store.domain.origin, store.domain.exclusive_max, strict=False)
    spans = [[(first + low, min(first + low + n, last)) for low in range(*span, n)] for span, n, first, last in axes]
    for x, y, z in product(*spans):
        yield folder / f"{x[0]}-{x[1]}_{y[0]}-{y[1]}_{z[0]}-{z[1]}"


def _zyx(store: "tensorstore.TensorStore") -> "tensorstore.TensorStore":
    import tensorstore as ts

    return store[ts.d["channel"][0]][ts.d["z", "y", "x"].transpose[0, 1, 2].translate_to[0]]


def _spec(folder: Path) -> dict[str, Any]:
    return {"driver": "neuroglancer_precomputed", "kvstore": kvstore(folder)}
