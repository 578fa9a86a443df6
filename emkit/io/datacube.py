"""Scans as py4DSTEM has them: a dense cube in EMD 1.0 (HDF5), written position by position. Axis order is (sy, sx, ky, kx).

py4DSTEM calls these axes Rx, Ry, Qx, Qy, and reads the whole cube into memory: bin before. Every frame is a chunk of its own,
packed; a pixel holds up to 65535 electrons. The layout is that of emdfile 0.0.16; its file id (UUID), which nothing reads, is left
out, so that equal scans are equal files.
"""

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np

from emkit.errors import DataError
from emkit.io.counted_hdf5 import check_room, import_h5py
from emkit.model import CountedScan

AXES = ("Rx", "Ry", "Qx", "Qy")
CALIBRATION = {"Q_pixel_size": 1, "Q_pixel_units": b"pixels", "QR_flip": False, "R_pixel_size": 1, "R_pixel_units": b"pixels"}
AT_ONCE = 2**22  # pixels that are held dense
MOST = np.iinfo(np.uint16).max


def write_datacube(lines: Iterable[CountedScan], whole: CountedScan, path: Path) -> None:
    """Write lines of a scan, in their order; of the whole, the shape alone is looked at."""
    h5py = import_h5py()
    with h5py.File(path, "w") as file:
        file.attrs.update({"emd_group_type": "file", "version_major": 1, "version_minor": 0, "authoring_program": "emkit"})
        file.attrs["authoring_user"] = ""
        root = _group(file, "datacube_root", "root", "Root")
        _write_calibration(root)
        cube = _group(root, "datacube", "array", "DataCube")
        packed = {"chunks": (1, 1, *whole.frame_shape), "compression": "gzip", "compression_opts": 1}
        data = cube.create_dataset("data", whole.shape, "uint16", **packed)
        data.attrs["units"] = "electrons"
        for number, name in enumerate(AXES):
            axis = cube.create_dataset(f"dim{number}", data=np.arange(2))
            axis.attrs.update({"name": name, "units": "pixels"})
        first = 0
        for part in lines:
            _fill(data, first, part)
            first += part.scan_shape[0]


def _fill(data: Any, first: int, part: CountedScan) -> None:
    height, width = part.scan_shape
    step = max(1, AT_ONCE // prod(part.frame_shape))
    for y in range(height):
        for x in range(0, width, step):
            check_room(Path(data.file.filename), step * 2 * prod(part.frame_shape))
            dense = cast(CountedScan, part[y : y + 1, x : x + step]).dense()
            if (most := dense.max(initial=0)) > MOST:
                where = f"the line sy={first + y}, from sx={x} on"
                raise DataError(f"A pixel has {most} electrons in {where}; a cube for py4DSTEM holds {MOST} at most. Bin less.")
            data[first + y, x : x + step] = dense[0]


def _write_calibration(root: Any) -> None:
    bundle = _group(root, "metadatabundle", "metadatabundle")
    told = _group(bundle, "calibration", "metadata", "Calibration")
    for name, value in CALIBRATION.items():
        kind = "string" if isinstance(value, bytes) else "bool" if isinstance(value, bool) else "number"
        told.create_dataset(name, data=value).attrs["type"] = kind
    told.create_dataset("_root_treepath", data=b"").attrs["type"] = "string"
    targets = told.create_group("_target_paths")
    targets.attrs.update({"type": "list_of_strings", "length": 1})
    targets.create_dataset("0", data=b"/datacube")


def _group(parent: Any, name: str, kind: str, python_class: str = "") -> Any:
    group = parent.create_group(name)
    group.attrs["emd_group_type"] = kind
    if python_class:
        group.attrs["python_class"] = python_class
    return group
