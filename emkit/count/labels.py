"""Arrays with names, units and coordinates. Axis order is (sy, sx, ky, kx)."""

from typing import TYPE_CHECKING, Any

from numpy import arange
from numpy.typing import NDArray

from emkit.errors import ParameterError
from emkit.model import Calibration, CountedScan

if TYPE_CHECKING:
    import xarray


def to_xarray(
    values: CountedScan | NDArray[Any],
    dims: tuple[str, ...] | None = None,
    *,
    calibration: Calibration | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
    name: str = "electrons",
) -> "xarray.DataArray":
    """A scan, or an image made from one, with its axes named.

    Of an array `dims` says what its axes are: ("sy", "sx") unless it is given. With a calibration, sy and sx are in nm from the
    first position, ky and kx in mrad from `centre` (ky, kx; px); without, in steps and px. Other axes are counted from 0, px. A
    scan becomes dense, as large as its shape says: bin or crop it before.

    >>> import numpy as np
    >>> image = to_xarray(np.zeros((2, 3)), calibration=Calibration(step_nm=0.5, pixel_mrad=1))
    >>> image.dims, image.sx.values.tolist(), image.sx.units
    (('sy', 'sx'), [0.0, 0.5, 1.0], 'nm')
    """
    import xarray

    array = values.dense() if isinstance(values, CountedScan) else values
    dims = dims or (("sy", "sx", "ky", "kx") if isinstance(values, CountedScan) else ("sy", "sx"))
    if len(dims) != array.ndim:
        raise ParameterError(f"dims: found {dims} for an array of shape {array.shape}; needed {array.ndim} names.")
    origins = {"ky": centre[0], "kx": centre[1]}
    coordinates = {}
    for dim, size in zip(dims, array.shape, strict=True):
        scale, units = 1.0, "step" if dim in ("sy", "sx") else "px"
        if calibration and dim in ("sy", "sx"):
            scale, units = calibration.step_nm, "nm"
        elif calibration and dim in origins:
            scale, units = calibration.pixel_mrad, "mrad"
        coordinates[dim] = (dim, (arange(size) - origins.get(dim, 0.0)) * scale, {"units": units})
    return xarray.DataArray(array, coordinates, dims, name, {"units": "1"} if name == "electrons" else {})
