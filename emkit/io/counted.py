"""Counted scans on disk: HDF5 as stempy has it, and a smaller zarr of our own.

HDF5: versions 1 to 3 and interactEM's are read, 3 is written. One row of `electron_events/frames` holds the flat indices of one
frame. Version 3 has the same number of frames for each position, those of the first position first; version 2 tells the position
of each row; version 1 has one row a position, the frames of which were merged, so that an index may come twice. The attributes
Nx, Ny are (columns, rows) on the positions, (rows, columns) on the frames.

Zarr (format 3): a group with `offsets`, `indices` and `positions` as `CountedScan` has them; any reader of zarr opens them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, PathError
from emkit.io.stores import context, finish, kvstore, read_store
from emkit.model import CountedScan, offsets_of

FORMAT, VERSION = "emkit counted scan", 1
CHUNK = 2**20  # events or frames in a chunk
HDF5 = (".h5", ".hdf5")
BATCH = 4096  # rows that are handed to HDF5 at once


def read_counted(path: Path) -> CountedScan:
    """A counted scan, from HDF5 or zarr, which the path tells. PathError or DataError where it is none."""
    return _read_hdf5(path) if path.suffix in HDF5 else _read_zarr(path)


def write_counted(scan: CountedScan, path: Path) -> None:
    """Write a scan: as stempy's HDF5 (version 3) where the name ends in .h5 or .hdf5, else as zarr.

    The file takes its name when it is whole. HDF5 has as many frames for every position; where some have fewer, empty
    ones stand for them.
    """
    if path.suffix in HDF5:
        _write_hdf5(scan, path)
    else:
        _write_zarr(scan, path)


@dataclass(frozen=True)
class CountedHeader:
    """What a file tells of its scan without its events. `events` is at most so many where the format does not tell it (HDF5)."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    frames: int
    events: int


def counted_header(path: Path) -> CountedHeader:
    """Headers only. PathError where it is no counted scan."""
    if path.suffix in HDF5:
        with _opened(path) as (file, header):
            del file
            return header
    return _zarr_header(path)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, CountedHeader]]:
    """The HDF5 file, open; PathError with the reason where it cannot be."""
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            frames, places = file["electron_events/frames"], file["electron_events/scan_positions"]
            scan_shape = int(places.attrs["Ny"]), int(places.attrs["Nx"])
            frame_shape = int(frames.attrs["Nx"]), int(frames.attrs["Ny"])
            yield file, CountedHeader(scan_shape, frame_shape, len(frames), path.stat().st_size // 4)
    except BlockingIOError:
        raise PathError(f"{path} is being written by another program; wait until it is closed.") from None
    except (OSError, KeyError) as wrong:
        raise PathError(
            f"{path} cannot be read as counted electrons in HDF5: {wrong}. Needed: a file of stempy or emkit."
        ) from None


def _read_hdf5(path: Path) -> CountedScan:
    with _opened(path) as (file, header):
        version = int(file.attrs.get("version", file["electron_events"].attrs.get("version", 1)))
        rows, positions = file["electron_events/frames"][()], file["electron_events/scan_positions"][()].astype(np.int64)
    if version not in (1, 2, 3):
        raise DataError(f"{path} is of version {version}; known are 1, 2 and 3.")
    (sy, sx), count = header.scan_shape, prod(header.scan_shape)
    if version == 3:
        if count == 0 or len(rows) % count:
            raise DataError(f"{path} holds {len(rows)} frames, but its {sy} x {sx} positions need a multiple of {count}.")
        positions = np.repeat(np.arange(count, dtype=np.int64), len(rows) // count)
    return _checked(path, _joined(rows), header.scan_shape, header.frame_shape, positions)


def _joined(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Offsets and indices of rows of any length."""
    return offsets_of(map(len, rows)), np.concatenate([np.zeros(0, np.uint32), *rows]).astype(np.uint32)


def _checked(
    path: Path,
    events: tuple[NDArray[np.int64], NDArray[np.uint32]],
    scan_shape: tuple[int, int],
    frame_shape: tuple[int, int],
    positions: NDArray[np.int64],
    complete: NDArray[np.bool_] | None = None,
) -> CountedScan:
    offsets, indices = events
    if indices.size and indices.max() >= prod(frame_shape):
        raise DataError(f"{path}: found the index {indices.max()}, but a frame of {frame_shape} has {prod(frame_shape)} pixels.")
    if len(positions) != len(offsets) - 1 or (positions.size and not 0 <= positions.min() <= positions.max() < prod(scan_shape)):
        raise DataError(f"{path}: its {len(offsets) - 1} frames do not lie on its {scan_shape[0]} x {scan_shape[1]} positions.")
    return CountedScan(offsets, indices, scan_shape, frame_shape, positions, complete)


def _write_hdf5(scan: CountedScan, path: Path) -> None:
    h5py = _h5py()
    each = int(scan.frames_at.max(initial=1))
    order = np.argsort(scan.positions, kind="stable")
    nth = np.arange(len(scan)) - np.searchsorted(scan.positions[order], scan.positions[order])
    row_of = np.full(prod(scan.scan_shape) * each, -1, np.int64)
    row_of[scan.positions[order] * each + nth] = order
    new = path.with_name(f"unfinished-{path.name}")
    with h5py.File(new, "w") as file:
        file.attrs["version"] = 3
        group = file.create_group("electron_events")
        places = group.create_dataset("scan_positions", data=np.arange(prod(scan.scan_shape), dtype=np.int64))
        places.attrs["Nx"], places.attrs["Ny"] = scan.scan_shape[1], scan.scan_shape[0]
        frames = group.create_dataset("frames", (len(row_of),), dtype=h5py.special_dtype(vlen=np.uint32))
        frames.attrs["Nx"], frames.attrs["Ny"] = scan.frame_shape
        for first in range(0, len(row_of), BATCH):
            rows = np.empty(len(row_of[first : first + BATCH]), object)
            for k, frame in enumerate(row_of[first : first + BATCH]):
                a, b = (scan.offsets[frame], scan.offsets[frame + 1]) if frame >= 0 else (0, 0)
                rows[k] = scan.indices[a:b]
            if len(set(map(len, rows))) > 1:
                frames[first : first + BATCH] = rows
                continue
            for k, row in enumerate(rows):  # rows of one length would be taken for a table
                frames[first + k] = row
        file.create_group("metadata")
    new.replace(path)


def _write_zarr(scan: CountedScan, path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    told = {
        "format": FORMAT,
        "version": VERSION,
        "scan_shape": scan.scan_shape,
        "frame_shape": scan.frame_shape,
        "frames": len(scan),
        "events": scan.events,
    }
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"emkit": told}}
    (path / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    arrays: dict[str, NDArray[Any]] = {"offsets": scan.offsets, "indices": scan.indices, "positions": scan.positions}
    if scan.complete is not None:
        arrays["complete"] = scan.complete
    finish([_create(path / name, array.dtype.name, len(array)).write(array) for name, array in arrays.items()])


def _create(folder: Path, dtype: str, length: int) -> Any:
    """A one-dimensional array; sorted indices are packed well by bytes of one rank together."""
    import tensorstore

    size = np.dtype(dtype).itemsize
    blosc = {"cname": "zstd", "clevel": 5, "shuffle": "shuffle" if size > 1 else "noshuffle", "typesize": size, "blocksize": 0}
    metadata = {
        "shape": [length],
        "data_type": dtype,
        "fill_value": False if dtype == "bool" else 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, min(CHUNK, length))]}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}} if size > 1 else {"name": "bytes"},
                   {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
    }  # fmt: skip
    spec = {"driver": "zarr3", "kvstore": kvstore(folder), "metadata": metadata}
    return tensorstore.open(spec, create=True, delete_existing=True, context=context()).result()


def _zarr_header(path: Path) -> CountedHeader:
    try:
        told = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["emkit"]
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise KeyError(f"{told['format']} version {told['version']}")
        (sy, sx), (ky, kx) = told["scan_shape"], told["frame_shape"]
        return CountedHeader((int(sy), int(sx)), (int(ky), int(kx)), int(told["frames"]), int(told["events"]))
    except (OSError, KeyError, TypeError, ValueError) as wrong:
        raise _no_scan(path, wrong) from None


def _no_scan(path: Path, wrong: Exception) -> PathError:
    return PathError(f"{path} cannot be read as a counted scan: {wrong}. Needed: a folder that emkit wrote, or .h5 of stempy.")


def _read_zarr(path: Path) -> CountedScan:
    import tensorstore

    header, arrays = _zarr_header(path), {}
    for name in ("offsets", "indices", "positions", "complete"):
        if name != "complete" or (path / name).is_dir():
            spec = {"driver": "zarr3", "kvstore": kvstore(path / name)}
            try:
                store = tensorstore.open(spec, open=True, read=True, context=context()).result()
            except ValueError as wrong:
                raise _no_scan(path, wrong) from None
            arrays[name] = read_store(store)
    events = arrays["offsets"], arrays["indices"]
    return _checked(path, events, header.scan_shape, header.frame_shape, arrays["positions"], arrays.get("complete"))


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise PathError("HDF5 needs h5py, which is not installed here: pip install 'emkit[counting]'") from None
    return h5py
