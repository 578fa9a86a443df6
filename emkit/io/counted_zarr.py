"""Counted scans in a zarr (format 3) of our own: a group with `offsets`, `indices` and `positions` as `CountedScan` has them.

Any reader of zarr opens them. The arrays are written in parts, so that a scan need not fit into memory: `create`, then
`write_frames` for what there is of each frame, and `write_events` for whole chunks of events, in any order.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import inf, isinf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import PathError
from emkit.io.stores import context, create_store, finish, kvstore, read_store
from emkit.model import CountedHeader, CountedScan, Sample, Thresholds, offsets_of

FORMAT, VERSION = "emkit counted scan", 1
CHUNK = 2**20  # events or frames in a chunk
OFFSETS, INDICES, POSITIONS, COMPLETE = "offsets", "indices", "positions", "complete"


class ZarrScan:
    """A folder, of which the header is read."""

    def __init__(self, path: Path) -> None:
        self.path, self.header = path, _header(path)
        self._offsets, self._indices = _opened(path, OFFSETS), _opened(path, INDICES)

    @property
    def complete(self) -> NDArray[np.bool_] | None:
        return read_store(_opened(self.path, COMPLETE)) if (self.path / COMPLETE).is_dir() else None

    def positions(self) -> NDArray[np.int64]:
        return read_store(_opened(self.path, POSITIONS))

    def events(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        offsets = read_store(self._offsets[first : last + 1])
        return offsets - offsets[0], read_store(self._indices[int(offsets[0]) : int(offsets[-1])])


@contextmanager
def opened(path: Path) -> Iterator[ZarrScan]:
    """The folder; PathError with the reason where it is no scan."""
    yield ZarrScan(path)


def write(scan: CountedScan, path: Path) -> None:
    for name in (OFFSETS, INDICES, POSITIONS, COMPLETE):
        shutil.rmtree(path / name, ignore_errors=True)
    create(path, CountedHeader(scan.scan_shape, scan.frame_shape, len(scan), scan.events, scan.thresholds))
    write_frames(path, scan.counts, scan.positions, scan.complete)
    write_events(path, 0, scan.indices)


def create(path: Path, header: CountedHeader) -> None:
    """The group, and its array of events, still empty; what is there of it already stays."""
    path.mkdir(parents=True, exist_ok=True)
    told = {"format": FORMAT, "version": VERSION, **asdict(header), "thresholds": _told(header.thresholds)}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"emkit": told}}
    (path / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    _create(path / INDICES, "uint32", header.events)


def write_frames(
    path: Path, counts: NDArray[np.int64], positions: NDArray[np.int64], complete: NDArray[np.bool_] | None
) -> list[Path]:
    """What there is of each frame: its events begin where those of the frame before end. The files that it wrote."""
    arrays: dict[str, NDArray[Any]] = {OFFSETS: offsets_of(counts), POSITIONS: positions}
    if complete is not None:
        arrays[COMPLETE] = complete
    for name, array in arrays.items():
        _create(path / name, array.dtype.name, len(array))
    finish([_opened(path, name).write(array) for name, array in arrays.items()])
    return [file for name in arrays for file in sorted((path / name).rglob("*")) if file.is_file()]


def write_events(path: Path, first: int, indices: NDArray[np.uint32]) -> list[Path]:
    """The events from number `first` on, which is a multiple of CHUNK, to the end of a chunk. The chunks that it wrote."""
    finish([_opened(path, INDICES)[first : first + len(indices)].write(indices)] if len(indices) else [])
    chunks = (path / INDICES / "c" / str(k) for k in range(first // CHUNK, -(-(first + len(indices)) // CHUNK)))
    return [chunk for chunk in chunks if chunk.is_file()]  # one of zeros alone is none


def _create(folder: Path, dtype: str, length: int) -> None:
    """A one-dimensional array; sorted indices are packed well by bytes of one rank together."""
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
    create_store({"driver": "zarr3", "kvstore": kvstore(folder), "metadata": metadata}, context())


def _opened(path: Path, name: str) -> Any:
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": kvstore(path / name)}
    try:
        return tensorstore.open(spec, open=True, context=context()).result()
    except ValueError as wrong:
        raise _no_scan(path, wrong) from None


def _header(path: Path) -> CountedHeader:
    try:
        told = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["emkit"]
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise KeyError(f"{told['format']} version {told['version']}")
        scan_shape, frame_shape = _extent(told["scan_shape"]), _extent(told["frame_shape"])
        thresholds = _thresholds(told.get("thresholds"))
        return CountedHeader(scan_shape, frame_shape, int(told["frames"]), int(told["events"]), thresholds)
    except (OSError, KeyError, TypeError, ValueError) as wrong:
        raise _no_scan(path, wrong) from None


def _extent(told: Any) -> tuple[int, int]:
    rows, columns = told
    return int(rows), int(columns)


def _told(thresholds: Thresholds | None) -> dict[str, Any] | None:
    """In JSON, which knows no infinity: no X-ray limit is null."""
    if thresholds is None:
        return None
    sample = asdict(thresholds.sample) if thresholds.sample else None
    return {"background": thresholds.background, "xray": None if isinf(thresholds.xray) else thresholds.xray, "sample": sample}


def _thresholds(told: Any) -> Thresholds | None:
    if told is None:
        return None
    sample = Sample(**told["sample"]) if told["sample"] else None
    return Thresholds(float(told["background"]), inf if told["xray"] is None else float(told["xray"]), sample=sample)


def _no_scan(path: Path, wrong: Exception) -> PathError:
    return PathError(f"{path} cannot be read as a counted scan: {wrong}. Needed: a folder that emkit wrote, or .h5 of stempy.")
