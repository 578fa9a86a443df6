"""Dense data as microscopes write it: Gatan DM3 and DM4, FEI SER and EMI, EMD (Velox, NCEM, py4DSTEM), MRC, Merlin MIB.

The bytes are read by RosettaSciIO, which is under the GPL: it is an extra, and never part of emkit. What comes back is lazy, with
the axes' names, scales and units from the file, and as attribute `instrument` what the microscope was set to; axes without a name
are (sy, sx) of the scan and (ky, kx) of the detector.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emkit.errors import DataError, PathError

if TYPE_CHECKING:
    import xarray

PLUGINS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".emi": "tia",
    ".ser": "tia",
    ".mib": "quantumdetector",
    ".mrc": "mrc",
}
UNITS = {"beam energy": "keV", "camera length": "mm", "beam current": "nA", "convergence angle": "mrad", "stage tilt alpha": "°"}
MICRO = {"n_m": "nm", "um": "µm", "": "px"}


def open_dense(path: Path) -> "tuple[xarray.DataArray, ...]":
    """Every dataset of a file, in its order; values are read when they are used. PathError where it is no such file.

    >>> [(data.dims, data.shape) for data in open_dense(Path("scan.mib"))]  # doctest: +SKIP
    [(('sy', 'sx', 'ky', 'kx'), (2, 4, 256, 256))]
    """
    if path.suffix.lower() not in PLUGINS:
        raise PathError(f"{path}: found {path.suffix or 'no ending'}, needed one of {', '.join(PLUGINS)}.")
    if not path.is_file():
        raise PathError(f"{path} does not exist, or is no file.")
    try:
        plugin = import_module(f"rsciio.{PLUGINS[path.suffix.lower()]}")
    except ImportError:
        raise PathError(f"{path.suffix} needs RosettaSciIO, which is not installed here: pip install 'emkit[formats]'") from None
    try:
        found = plugin.file_reader(str(path), lazy=True)
    except Exception as wrong:  # noqa: BLE001 (its readers raise whatever a broken file makes them stumble over)
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {wrong or type(wrong).__name__}.") from None
    return tuple(_labelled(one, path) for one in found)


def _labelled(found: dict[str, Any], path: Path) -> "xarray.DataArray":
    import xarray

    data, axes = found["data"], sorted(found["axes"], key=lambda axis: int(axis.get("index_in_array", 0)))
    scan = [axis for axis in axes if axis["navigate"]]
    spare = {True: ["sy", "sx"][-len(scan) or 2 :], False: ["ky", "kx"][-(len(axes) - len(scan)) or 2 :]}
    dims, coordinates = [], {}
    for axis in axes:
        dims.append(name := str(axis.get("name") or "") or spare[bool(axis["navigate"])].pop(0))
        values = (
            np.asarray(axis["axis"]) if "axis" in axis else axis.get("offset", 0) + axis.get("scale", 1) * np.arange(axis["size"])
        )
        coordinates[name] = (name, values, {"units": MICRO.get(str(axis.get("units") or ""), str(axis.get("units")))})
    title = str(found.get("metadata", {}).get("General", {}).get("title") or path.stem)
    return xarray.DataArray(data, coordinates, dims, title, {"source": path.name, "instrument": _instrument(found)})


def _instrument(found: dict[str, Any]) -> dict[str, str]:
    """What the microscope was set to, in words: where the reader says in which of the file's own tags that stands."""
    told = {}
    for place, (target, convert) in (found.get("mapping") or {}).items():
        group, _, name = str(target).partition("Acquisition_instrument.TEM.")
        value: Any = found.get("original_metadata")
        for key in place.split("."):
            value = value.get(key) if hasattr(value, "get") else None
        if not group and value is not None and (meant := convert(value) if convert else value) not in (None, ""):
            words = name.replace("_", " ").replace(".", " ").lower()
            told[words] = f"{meant:g} {UNITS.get(words, '')}".strip() if isinstance(meant, float) else str(meant)
    return told
