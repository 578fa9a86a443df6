"""Images from counted scans: virtual detectors, centre of mass, radial profiles.

Axis order is (sy, sx, ky, kx); a place on the detector is (ky, kx), px. Everything is linear in the events: no frame is made dense.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.count.kernel import sums
from emkit.errors import ParameterError
from emkit.model import CountedScan

Floats = NDArray[np.float64]


def disk(frame_shape: tuple[int, int], centre: tuple[float, float], radius_px: float) -> NDArray[np.bool_]:
    """The pixels whose centres lie within a radius: a bright-field detector."""
    return annulus(frame_shape, centre, 0.0, radius_px)


def annulus(frame_shape: tuple[int, int], centre: tuple[float, float], inner_px: float, outer_px: float) -> NDArray[np.bool_]:
    """The pixels whose centres lie from one radius up to another: a dark-field detector (HAADF where both are large)."""
    if not 0 <= inner_px < outer_px:
        raise ParameterError(f"annulus: found inner_px={inner_px:g} and outer_px={outer_px:g}; needed 0 <= inner < outer.")
    distance = _distance(frame_shape, centre)
    return (distance >= inner_px) & (distance <= outer_px)


def virtual_image(scan: CountedScan, mask: NDArray[np.bool_] | Floats) -> NDArray[np.float64]:
    """The electrons within a mask (ky, kx), or weighed by it, at each position (sy, sx).

    >>> import numpy as np
    >>> scan = CountedScan(np.array([0, 2, 3]), np.array([0, 3, 1], np.uint32), (1, 2), (2, 2))
    >>> virtual_image(scan, np.array([[True, True], [False, False]]))
    array([[1., 1.]])
    """
    if mask.shape != scan.frame_shape:
        raise ParameterError(f"mask: found the shape {mask.shape}, but frames are {scan.frame_shape}.")
    return scan.weigh(sums(scan, mask)).astype(np.float64)


def estimate_centre(scan: CountedScan) -> tuple[float, float]:
    """The middle of the direct beam, (ky, kx): the centre of mass of the pixels above half of the brightest, smoothed."""
    return centre_of(sum_of_whole(scan))


def sum_of_whole(scan: CountedScan) -> NDArray[np.int64]:
    """The electrons at each pixel, (ky, kx), of whole frames alone: where a sector is missing, so is a part of the beam."""
    if scan.complete is None:
        return scan.sum("scan")
    whole = scan.indices[np.repeat(scan.complete, scan.counts)]
    return np.bincount(whole, minlength=prod(scan.frame_shape)).reshape(scan.frame_shape)


def centre_of(pattern: NDArray[Any]) -> tuple[float, float]:
    """The middle of the direct beam from the sum of frames, (ky, kx); that of the frame where nothing was hit."""
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(pattern.astype(np.float64), max(1.0, min(pattern.shape) / 100))
    y, x = np.nonzero(image >= image.max() / 2)
    weights = image[y, x]
    if not weights.sum():
        return (pattern.shape[0] - 1) / 2, (pattern.shape[1] - 1) / 2
    return float(np.average(y, weights=weights)), float(np.average(x, weights=weights))


def centre_of_mass(scan: CountedScan, mask: NDArray[np.bool_] | None = None) -> Floats:
    """The mean place of the electrons at each position, (sy, sx, 2) as (ky, kx) px; NaN where there are none."""
    chosen = scan if mask is None else scan.select(mask.ravel()[scan.indices])
    count = chosen.weigh(chosen.counts).astype(np.float64)
    moments = np.stack([chosen.weigh(sums(chosen, axis.astype(np.float64))) for axis in np.indices(scan.frame_shape)], -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(moments / count[..., None])


def radial_profile(scan: CountedScan, centre: tuple[float, float] | Floats | None = None) -> Floats:
    """Electrons by distance from the centre, (sy, sx, r): bin r holds those from r to below r + 1 px, as far as a corner is away.

    The centre is one place (ky, kx), or one for each position, (sy, sx, 2), as `centre_of_mass` returns it: where it is NaN the
    position has no electrons. Left out, it is `estimate_centre(scan)`. That of the whole scan is `radial_profile(scan).sum((0,
    1))`; for electrons per pixel divide by `ring_pixels`.
    """
    centres = np.asarray(estimate_centre(scan) if centre is None else centre, np.float64)
    if centres.shape not in ((2,), (*scan.scan_shape, 2)):
        raise ParameterError(f"centre: found the shape {centres.shape}; needed (2,) or {(*scan.scan_shape, 2)}.")
    position = np.repeat(scan.positions, scan.counts)
    if centres.ndim == 1:
        radius = _distance(scan.frame_shape, (centres[0], centres[1])).astype(np.int64).ravel()[scan.indices]
    else:
        y, x = np.divmod(scan.indices, scan.frame_shape[1])
        middle = centres.reshape(-1, 2)[position]
        radius = np.hypot(y - middle[:, 0], x - middle[:, 1]).astype(np.int64)
    corners = np.stack(np.meshgrid((0, scan.frame_shape[0] - 1), (0, scan.frame_shape[1] - 1)), -1).reshape(-1, 2)
    furthest = np.hypot(*np.moveaxis(corners - centres.reshape(-1, 1, 2), -1, 0))
    count = int(np.max(furthest, where=np.isfinite(furthest), initial=0)) + 1
    size = scan.scan_shape[0] * scan.scan_shape[1] * count
    return np.bincount(position * count + radius, minlength=size).reshape(*scan.scan_shape, count).astype(np.float64)


def ring_pixels(frame_shape: tuple[int, int], centre: tuple[float, float], bins: int) -> NDArray[np.int64]:
    """The pixels in each of the first bins of a radial profile around one centre: (bins,).

    >>> ring_pixels((3, 3), (1, 1), 3)
    array([1, 8, 0])
    """
    return np.bincount(_distance(frame_shape, centre).astype(np.int64).ravel(), minlength=bins)[:bins]


def _distance(frame_shape: tuple[int, int], centre: tuple[float, float]) -> Floats:
    y, x = np.ogrid[: frame_shape[0], : frame_shape[1]]
    return np.asarray(np.hypot(y - centre[0], x - centre[1]))
