"""Images from counted scans: virtual detectors, centre of mass, differential phase contrast, radial profiles.

Axis order is (sy, sx, ky, kx); a place on the detector is (ky, kx), px. Everything is linear in the events: no frame is made dense.
"""

from dataclasses import dataclass

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
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(scan.sum("scan").astype(np.float64), max(1.0, min(scan.frame_shape) / 100))
    y, x = np.nonzero(image >= image.max() / 2)
    weights = image[y, x]
    return (float(np.average(y, weights=weights)), float(np.average(x, weights=weights))) if weights.sum() else _middle(scan)


def centre_of_mass(scan: CountedScan, mask: NDArray[np.bool_] | None = None) -> Floats:
    """The mean place of the electrons at each position, (sy, sx, 2) as (ky, kx) px; NaN where there are none."""
    chosen = scan if mask is None else scan.select(mask.ravel()[scan.indices])
    count = chosen.weigh(chosen.counts).astype(np.float64)
    moments = np.stack([chosen.weigh(sums(chosen, axis.astype(np.float64))) for axis in np.indices(scan.frame_shape)], -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(moments / count[..., None])


@dataclass(frozen=True)
class PhaseContrast:
    """`shift` (sy, sx, 2): the deflection of the beam from its mean, turned into the scan's axes, px; `phase` (sy, sx): its
    integral, in px times scan steps, mean 0; `rotation_deg`: of the detector against the scan."""

    shift: Floats
    phase: Floats
    rotation_deg: float


def differential_phase_contrast(
    scan: CountedScan, mask: NDArray[np.bool_] | None = None, rotation_deg: float | None = None
) -> PhaseContrast:
    """Deflection and integrated phase; the rotation is estimated if it is not given."""
    com = centre_of_mass(scan, mask)
    shift = np.nan_to_num(com - np.nanmean(com, axis=(0, 1)))
    angle = estimate_rotation(shift) if rotation_deg is None else rotation_deg
    turned = _turn(shift, angle)
    return PhaseContrast(turned, integrate(turned), angle)


def estimate_rotation(shift: Floats) -> float:
    """Degrees from the scan's axes to the detector's, -90 to 90: the turn after which the deflection has least curl.

    A turn by 180 degrees more has as little: whether the phase is bright or dark cannot be told from it.
    """
    angles = np.arange(-90, 90, 0.5)
    curls = [float(np.mean(_curl(_turn(shift, angle)) ** 2)) for angle in angles]
    return float(angles[int(np.argmin(curls))])


def integrate(slope: Floats) -> Floats:
    """The surface whose slopes these are, by least squares with mirrored borders (Fourier); mean 0."""
    height, width, _ = slope.shape
    y, x = slope[..., 0], slope[..., 1]
    y = np.block([[y, y[:, ::-1]], [-y[::-1], -y[::-1, ::-1]]])
    x = np.block([[x, -x[:, ::-1]], [x[::-1], -x[::-1, ::-1]]])
    ky, kx = np.meshgrid(np.fft.fftfreq(2 * height), np.fft.fftfreq(2 * width), indexing="ij")
    # of central differences, as np.gradient makes slopes
    sy, sx = 1j * np.sin(2 * np.pi * ky), 1j * np.sin(2 * np.pi * kx)
    norm = np.abs(sy) ** 2 + np.abs(sx) ** 2
    norm[norm < 1e-9] = np.inf
    surface = np.fft.ifft2((np.conj(sy) * np.fft.fft2(y) + np.conj(sx) * np.fft.fft2(x)) / norm).real[:height, :width]
    return np.asarray(surface - surface.mean())


def radial_profile(scan: CountedScan, centre: tuple[float, float] | None = None) -> Floats:
    """Electrons by whole distance from the centre, (sy, sx, r) with r in px: their number, not their density."""
    rings = _distance(scan.frame_shape, centre or estimate_centre(scan)).astype(np.int64)
    count = int(rings.max()) + 1
    flat = np.repeat(scan.positions, scan.counts) * count + rings.ravel()[scan.indices]
    size = scan.scan_shape[0] * scan.scan_shape[1] * count
    return np.bincount(flat, minlength=size).reshape(*scan.scan_shape, count).astype(np.float64)


def _distance(frame_shape: tuple[int, int], centre: tuple[float, float]) -> Floats:
    y, x = np.ogrid[: frame_shape[0], : frame_shape[1]]
    return np.asarray(np.hypot(y - centre[0], x - centre[1]))


def _middle(scan: CountedScan) -> tuple[float, float]:
    return (scan.frame_shape[0] - 1) / 2, (scan.frame_shape[1] - 1) / 2


def _turn(shift: Floats, angle_deg: float) -> Floats:
    angle = np.deg2rad(angle_deg)
    y, x = shift[..., 0], shift[..., 1]
    return np.stack([np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x], -1)


def _curl(shift: Floats) -> Floats:
    if min(shift.shape[:2]) < 2:
        return np.zeros(shift.shape[:2])
    return np.asarray(np.gradient(shift[..., 1], axis=0) - np.gradient(shift[..., 0], axis=1))
