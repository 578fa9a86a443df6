"""Scans as LiberTEM's `raw_csr` has them: a folder with scan.toml and three files of bare numbers, little endian.

Row k of the matrix is the scan position k, its columns are the pixels of the detector, its values electrons: `indptr.raw` (int64),
`indices.raw` (int32) and `data.raw` (uint16, 1 but where frames of a position meet or were binned). LiberTEM maps them into memory.
"""

from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np
import tomli_w

from emkit.model import CountedScan

DESCRIPTION = "scan.toml"
INDPTR, INDICES, DATA = FILES = {"indptr": "<i8", "indices": "<i4", "data": "<u2"}


def write_raw_csr(lines: Iterable[CountedScan], whole: CountedScan, folder: Path) -> None:
    """Write lines of a scan, in their order; of the whole, the shape alone is looked at. LiberTEM opens `folder/scan.toml`."""
    folder.mkdir(exist_ok=True)
    params = {"filetype": "raw_csr", "nav_shape": list(whole.scan_shape), "sig_shape": list(whole.frame_shape)}
    files = {f"{name}_file": f"{name}.raw" for name in FILES} | {f"{name}_dtype": dtype for name, dtype in FILES.items()}
    (folder / DESCRIPTION).write_text(tomli_w.dumps({"params": params, "raw_csr": files}), encoding="utf-8")
    with (
        (folder / f"{INDPTR}.raw").open("wb") as indptr,
        (folder / f"{INDICES}.raw").open("wb") as indices,
        (folder / f"{DATA}.raw").open("wb") as data,
    ):
        indptr.write(np.zeros(1, FILES[INDPTR]).data)
        done = 0
        for part in lines:
            merged = part.merged()
            position = np.repeat(merged.positions, merged.counts)
            pixel = position * prod(part.frame_shape) + merged.indices
            new = np.flatnonzero(np.diff(pixel, prepend=-1))  # the first electron of each
            ends = done + np.cumsum(np.bincount(position[new], minlength=len(merged)))
            indptr.write(ends.astype(FILES[INDPTR]).data)
            indices.write(merged.indices[new].astype(FILES[INDICES]).data)
            data.write(np.diff(new, append=merged.events).astype(FILES[DATA]).data)
            done += len(new)
