"""N5 in, through tensorstore: https://github.com/saalfeldlab/n5. On disk its axes are (x, y, z), here (z, y, x).

Voxel sizes are no part of N5. Two habits are known: `resolution` with `units`, and `pixelResolution` with `unit`.
"""

import json
from pathlib import Path
from typing import Any

from emkit.errors import PathError
from emkit.io.arrays import Array
from emkit.io.ngff import NM
from emkit.io.stores import kvstore
from emkit.model import SizeNm

UNITS = NM | {"nm": 1.0, "um": 1e3, "µm": 1e3, "mm": 1e6, "m": 1e9, "Å": 0.1}


def open_n5(folder: Path) -> Array:
    """A dataset of three axes, or the finest level `s0` of a multiscale group."""
    import tensorstore

    group, attributes = folder, _attributes(folder)
    if "dimensions" not in attributes:
        folder = folder / "s0"
        attributes |= _attributes(folder)
    if "dimensions" not in attributes:
        inside = sorted(path.parent.name for path in group.glob("*/attributes.json"))
        raise PathError(f"{group} is an N5 group of {inside or 'nothing'}; needed: the path of one dataset. Give one of those.")
    if len(attributes["dimensions"]) != 3:
        raise PathError(f"{folder} has the dimensions {attributes['dimensions']}; needed: (x, y, z). Take out one channel first.")
    spec = {"driver": "n5", "kvstore": kvstore(folder)}
    try:
        store = tensorstore.open(spec, open=True, read=True).result()
    except ValueError as wrong:
        raise PathError(f"{folder} cannot be read as N5: {wrong}") from None
    return Array(store.T, _voxel_size_nm(attributes))


def _attributes(folder: Path) -> dict[str, Any]:
    file = folder / "attributes.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError) as wrong:
        raise PathError(f"{file} cannot be read: {wrong}. Needed: the JSON attributes of an N5.") from None
    return dict(found)


def _voxel_size_nm(attributes: dict[str, Any]) -> SizeNm | None:
    """(z, y, x), if the attributes tell three sizes and their unit."""
    pixel = attributes.get("pixelResolution", {})
    sizes = attributes.get("resolution") or pixel.get("dimensions") or []
    units = attributes.get("units") or [pixel.get("unit")] * 3
    if len(sizes) != 3 or len(units) != 3 or any(unit not in UNITS for unit in units):
        return None
    x, y, z = (float(size) * UNITS[unit] for size, unit in zip(sizes, units, strict=True))
    return z, y, x
