"""OME-Zarr: multiscale volumes on disk. 0.5 on zarr v3, sharded, is written; 0.4 and 0.5 are read. Axis order is (z, y, x).

    create_volume(out, shape=…, dtype=…, voxel_size_nm=…)          # all metadata
    for block in shard_grid(out): write_block(out, block, pixels)   # any order, any number of workers; goes down its levels
    for level in levels_to_build(out):                              # what large volumes have beyond, in this order
        for block, finer in blocks_to_build(out, level, made): build_block(out, level, block, finer)

One block is one shard is one file, written by one task: the same bytes in any order. A coarser image voxel is the mean of its
finer ones (integers round half to even), a coarser label the most frequent one (of equals the smallest). The origin of a level
is the centre of its first voxel and so moves by half the difference of the voxel sizes: levels register in every reader.

Format: https://ngff.openmicroscopy.org/0.5 and /0.4. The arrays are written and read by tensorstore, the metadata by yaozarrs.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import CHUNK_PX, SHARD_PX, Block, Grid, pyramid
from emkit.errors import ParameterError, PathError
from emkit.io.ngff import Metadata, group_document, read_metadata
from emkit.io.stores import context, create_store, finish, kvstore, os_error, read_store
from emkit.model import Level, Shape, SizeNm, Volume, VolumeKind
from emkit.params import unfinished_of
from emkit.provenance import Written, await_files, written

if TYPE_CHECKING:  # imported where they are used: 90 and 400 ms
    import tensorstore
    import xarray

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
DTYPES = (*INTEGERS, "float32", "float64")
SLAB_PX = 16  # a multiple of every factor


@dataclass(frozen=True)
class _Pyramid:
    """The open levels of a volume that this module made, each with its folder."""

    folders: list[Path]
    method: Literal["mean", "mode"]
    stores: "list[tensorstore.TensorStore]"
    grids: list[Grid]


def create_volume(
    out: Path,
    *,
    shape: Shape,
    dtype: str,
    voxel_size_nm: SizeNm,
    origin_nm: SizeNm = (0.0, 0.0, 0.0),
    kind: VolumeKind = "image",
    name: str = "",
    chunk_px: int | Shape = CHUNK_PX,
    shard_px: int | Shape = SHARD_PX,
    levels: int | None = None,
) -> None:
    """Write the metadata of the volume and of all its levels, down to one chunk or so many; no voxels yet, they read as 0.

    Doing it again over the same volume changes nothing. The path is not written into it: a name is given or there is none.
    """

    check_dtype(dtype, kind)
    grids = pyramid(shape, voxel_size_nm, np.dtype(dtype).itemsize, chunk_px=chunk_px, shard_px=shard_px)[:levels]
    for index, grid in enumerate(grids):
        spec = {"driver": "zarr3", "kvstore": kvstore(out / str(index)), "metadata": _array_metadata(grid, dtype)}
        create_store(spec, context())
    document = group_document(name, kind, voxel_size_nm, [grid.factor for grid in grids], origin_nm)
    (out / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def check_dtype(dtype: str, kind: VolumeKind) -> None:
    """Refuse voxels of a type that a volume of this kind does not keep."""
    if dtype not in (allowed := INTEGERS if kind == "labels" else DTYPES):
        raise ParameterError(f"{kind}: found voxels of type {dtype}, needed: {', '.join(allowed)}. Convert them first.")


def shard_grid(path: Path, level: int = 0) -> list[Block]:
    """The blocks of a level: one per shard."""
    return _pyramid(path).grids[level].blocks()


def levels_to_build(path: Path) -> list[int]:
    """The levels that `write_block` of level 0 does not reach, in the order to build them. Few: every fourth of a large volume."""
    return [index for index, grid in enumerate(_pyramid(path).grids) if index and grid.starts_group]


def blocks_to_build(path: Path, level: int, made: Collection[str]) -> list[tuple[Block, tuple[Path, ...]]]:
    """The blocks of such a level, each with the files it is made from: of all those that were `made`, by name in the volume."""
    pyramid = _pyramid(path)
    finer, factor = pyramid.grids[level - 1], pyramid.grids[level].factor
    found = []
    for block in pyramid.grids[level].blocks():
        spans = zip(block.finer(factor, finer.shape).slices, finer.shard, strict=True)
        corners = product(*(range(span.start // side, -(-span.stop // side)) for span, side in spans))
        files = (pyramid.folders[level - 1].joinpath("c", *map(str, corner)) for corner in corners)
        found.append((block, tuple(file for file in files if file.relative_to(path).as_posix() in made)))
    return found


def write_block(path: Path, block: Block, array: NDArray[Any], level: int = 0) -> Written:
    """Write one shard of a level that starts a group, and what it becomes in the coarser levels of that group: a file each.

    `array` has the shape of the block and the dtype of the volume. It must not change until this returns.
    """
    pyramid = _pyramid(path, write=True)
    if array.shape != block.shape or array.dtype != pyramid.stores[0].dtype.numpy_dtype:
        found, needed = f"{array.dtype} of {array.shape}", f"{pyramid.stores[0].dtype.name} of {block.shape}"
        raise ValueError(f"{path}, level {level}: found voxels {found}, needed {needed}")
    return written(path, *_write(pyramid, block, array, level))


def memory_to_write(block_bytes: int) -> int:
    """Bytes by which a process grows that makes and writes such blocks: tensorstore, a block, and its chunks being packed."""
    return 38_000_000 + block_bytes * 11 // 5


def build_block(path: Path, level: int, block: Block, finer_files: Collection[Path] = ()) -> Written:
    """Make one block of a level, and of the levels after it in its group, from the finer level.

    The files of that are waited for: one that another machine has written and this one does not see yet would be taken for zeros.
    """
    await_files(*finer_files)
    pyramid = _pyramid(path, write=True)
    factor, finer = pyramid.grids[level].factor, pyramid.stores[level - 1]
    array = read_store(finer[block.finer(factor, pyramid.grids[level - 1].shape).slices])
    return written(path, *_write(pyramid, block, downsample(array, factor, pyramid.method), level))


def _write(pyramid: _Pyramid, block: Block, array: NDArray[Any], level: int) -> list[Path]:
    """The files, without those of shards that are all 0: there are none."""
    writes, files = [], []
    while True:
        # Nothing is copied: there is no cache, so the array is let go of when its write is done, and that is awaited below.
        writes.append(pyramid.stores[level][block.slices].write(array, can_reference_source_data_indefinitely=True))
        files.append(_shard_file(pyramid, block, level))
        level += 1
        if level == len(pyramid.grids) or pyramid.grids[level].starts_group:
            break
        factor = pyramid.grids[level].factor
        array, block = downsample(array, factor, pyramid.method), block.coarser(factor)
    finish(writes)
    return [file for file in files if file.exists()]


def _shard_file(pyramid: _Pyramid, block: Block, level: int) -> Path:
    spans = zip((block.z, block.y, block.x), pyramid.grids[level].shard, strict=True)
    return pyramid.folders[level].joinpath("c", *(str(low // side) for (low, _), side in spans))


def read_region(path: Path, level: int, block: Block) -> NDArray[Any]:
    """The voxels of a block of a level, (z, y, x)."""
    return read_store(open_level(path, level)[block.slices])


def read_levels(path: Path) -> tuple[Level, ...]:
    """The levels of a volume, the finest first; headers only."""
    return read_volume(path).levels


def read_volume(path: Path) -> Volume:
    """What the headers of an OME-Zarr 0.4 or 0.5 tell: its name, image or labels, its levels. Refuses anything else (PathError)."""
    metadata = read_metadata(path)
    stores = [_open(path, metadata, index) for index in range(len(metadata.levels))]
    levels = (
        Level(placed.path, _zyx(store.shape), store.dtype.numpy_dtype.name, placed.voxel_size_nm, placed.origin_nm)
        for placed, store in zip(metadata.levels, stores, strict=True)
    )
    return Volume(path, metadata.name, metadata.kind, tuple(levels))


def open_level(path: Path, level: int = 0) -> "tensorstore.TensorStore":
    """A level as a tensorstore (z, y, x)."""
    metadata = read_metadata(path)
    if not 0 <= level < len(metadata.levels):
        raise ParameterError(f"{path} has levels 0 to {len(metadata.levels) - 1}; found level {level}.")
    return _open(path, metadata, level)


def open_volume(path: Path | str, level: int = 0) -> "xarray.DataArray":
    """A level as a lazy xarray.DataArray (z, y, x): voxels are read when used, coordinates are voxel centres in nm.

    PathError for a volume that is still being made: what it has not yet would be taken for zeros.

    >>> open_volume("stack.ome.zarr").sel(z=90, method="nearest").mean()  # doctest: +SKIP
    """
    from emkit.io.lazy import lazy_array

    if out := unfinished_of(Path(path)):
        raise PathError(
            f"{path} is not finished: what is not written yet would be read as 0. Watch its run: emkit watch {out}; "
            f"if nobody drives it, go on with it: emkit resume {out}; to look at it as it is: emkit view {path}"
        )
    volume = read_volume(Path(path))
    return lazy_array(open_level(Path(path), level), volume.levels[level], volume.name)


def _open(path: Path, metadata: Metadata, level: int, *, write: bool = False) -> "tensorstore.TensorStore":
    """The tensorstore of a level without its leading axes, which must be 1 long."""
    import tensorstore

    placed = metadata.levels[level]
    driver = {2: "zarr", 3: "zarr3"}[metadata.zarr_format]
    spec = {"driver": driver, "kvstore": kvstore(path / placed.path)}
    try:
        store = tensorstore.open(spec, open=True, read=True, write=write, context=context()).result()
    except ValueError as wrong:
        if refused := os_error(wrong):
            raise refused from None
        raise PathError(f"{path} names the level {placed.path!r}, which cannot be opened: {wrong}") from None
    if store.rank != metadata.leading + 3 or any(n != 1 for n in store.shape[: metadata.leading]):
        raise PathError(
            f"{path}: level {placed.path!r} has the shape {store.shape}; needed: (z, y, x), "
            "and before them only axes that are 1 long. Take out one channel and time point first."
        )
    return store[(0,) * metadata.leading] if metadata.leading else store


def _pyramid(path: Path, *, write: bool = False) -> _Pyramid:
    if write:  # then it was just created, perhaps on another machine
        await_files(path / "zarr.json")
    metadata = read_metadata(path)
    if write:
        await_files(*(path / placed.path / "zarr.json" for placed in metadata.levels))
    stores = [_open(path, metadata, index, write=write) for index in range(len(metadata.levels))]
    grids: list[Grid] = []
    for index, (placed, store) in enumerate(zip(metadata.levels, stores, strict=True)):
        finer = metadata.levels[max(index - 1, 0)].voxel_size_nm
        z, y, x = (round(coarse / fine) for coarse, fine in zip(placed.voxel_size_nm, finer, strict=True))
        layout = store.chunk_layout
        chunk, shard = _zyx(layout.read_chunk.shape), _zyx(layout.write_chunk.shape)
        grid = Grid(_zyx(store.shape), (z, y, x), chunk, shard, starts_group=True)
        # Within a group each shard becomes one shard of the next level, so that their number stays.
        grids.append(replace(grid, starts_group=not index or grid.shards != grids[-1].shards))
    folders = [path / placed.path for placed in metadata.levels]
    return _Pyramid(folders, "mode" if metadata.kind == "labels" else "mean", stores, grids)


def downsample(array: NDArray[Any], factor: Sequence[int], method: Literal["mean", "mode"]) -> NDArray[Any]:
    """Each bin of `factor` as one voxel; at the rim a bin is what there is of it.

    Done slab by slab along the first axis: at once, tensorstore would hold as much again as the array.
    """
    import tensorstore

    coarse = np.empty([-(-n // f) for n, f in zip(array.shape, factor, strict=True)], array.dtype)
    for low in range(0, len(array), SLAB_PX):
        slab = tensorstore.array(array[low : low + SLAB_PX])
        first = low // factor[0]
        coarse[first : first + -(-slab.shape[0] // factor[0])] = tensorstore.downsample(slab, factor, method).read().result()
    return coarse


def _array_metadata(grid: Grid, dtype: str) -> dict[str, Any]:
    """The zarr v3 array: shards of blosc-zstd chunks, their index at the end."""
    itemsize = np.dtype(dtype).itemsize
    shuffle = "shuffle" if itemsize > 1 else "noshuffle"
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {"cname": "zstd", "clevel": 3, "shuffle": shuffle, "typesize": itemsize, "blocksize": 0}
    sharding = {
        "chunk_shape": grid.chunk,
        "codecs": [little, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "shape": grid.shape,
        "data_type": dtype,
        "dimension_names": ["z", "y", "x"],
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid.shard}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


def _zyx(sizes: Any) -> Shape:
    z, y, x = sizes  # three by now; tensorstore types them as any number, or none known
    return z, y, x
