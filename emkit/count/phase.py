"""Phase from the deflection of the beam (differential phase contrast). Axis order is (sy, sx, ky, kx); vectors are (y, x).

A phase φ of the specimen deflects the beam to its gradient: the centre of mass of the electrons moves by ∇φ / 2π, averaged over the
probe, whatever its focus (Waddell and Chapman 1979; Müller et al. 2014). The detector need not lie as the scan does:

    vector along the scan's axes = R(rotation) · T · vector along the detector's axes

T swaps ky and kx if the detector is `transposed` (seen from its back), else nothing; R turns +y towards +x. What data tell of it:

- A gradient has no curl. The pair of handedness and rotation that leaves the least is taken. The least curl over all rotations has
  a closed form, so nothing is searched. A specimen that changes along one direction alone has none either way: `curl` and
  `curl_otherwise` are then alike, and the handedness is unknown.
- A turn by 180° changes the sign of the phase and leaves no curl either. Atoms attract electrons: what stands out from its
  surroundings is taken for bright, where the deflection converges (`convergence` > 0). This fails for holes in a film, and says
  nothing (`convergence` near 0) where bright and dark are alike, as in one sine wave.
- A steady drift of the beam over the scan (descan) is a plane of deflections, and so is a parabola of phase: they cannot be told
  apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emkit.count.virtual import centre_of_mass
from emkit.model import Calibration, CountedScan

Floats = NDArray[np.float64]
SMOOTHING = 1.5  # scan steps: noise has as much curl as gradient, and most of it at single positions


@dataclass(frozen=True)
class Orientation:
    """How the detector lies to the scan: `rotation_deg`, -180 to 180, and whether it is `transposed`.

    `curl` is the part of the slopes of the deflection that this leaves as curl, 0 to 1, and `curl_otherwise` the least that the
    other handedness leaves: 0 and 0.5 for a clear specimen, 0.5 and 0.5 for noise. `convergence` is what the sign was decided by,
    -1 to 1.
    """

    rotation_deg: float = 0.0
    transposed: bool = False
    curl: float = float("nan")
    curl_otherwise: float = float("nan")
    convergence: float = float("nan")

    @property
    def matrix(self) -> Floats:
        """(2, 2): vectors along the detector's axes to vectors along the scan's."""
        return rotation(self.rotation_deg) @ (np.eye(2)[::-1] if self.transposed else np.eye(2))

    def to_scan(self, vectors: Floats) -> Floats:
        """Vectors (..., 2) along the detector's axes, along the scan's.

        >>> Orientation(90).to_scan(np.array([1.0, 0.0])).round(6) + 0.0
        array([0., 1.])
        """
        return np.asarray(vectors @ self.matrix.T)

    def __str__(self) -> str:
        return f"detector turned by {self.rotation_deg:.1f}°{', transposed' if self.transposed else ''}"


@dataclass(frozen=True)
class PhaseContrast:
    """`shift` (sy, sx, 2): the deflection of the beam from its mean along the scan's axes, px; `phase` (sy, sx): its integral, in
    px times scan steps, mean 0; `orientation`: of the detector."""

    shift: Floats
    phase: Floats
    orientation: Orientation

    def phase_rad(self, calibration: Calibration) -> Floats:
        """The phase of the specimen, (sy, sx), averaged over the probe."""
        k_per_px = calibration.pixel_mrad / 1000 / calibration.wavelength_nm
        return 2 * np.pi * k_per_px * calibration.step_nm * self.phase


def differential_phase_contrast(
    scan: CountedScan, mask: NDArray[np.bool_] | None = None, orientation: Orientation | None = None
) -> PhaseContrast:
    """Deflection and integrated phase, from the electrons within a mask (ky, kx) if there is one.

    The orientation of the detector is estimated if it is not given. Positions without an electron count as not deflected.
    """
    return contrast_of(centre_of_mass(scan, mask), orientation)


def contrast_of(com: Floats, orientation: Orientation | None = None) -> PhaseContrast:
    """The same from centres of mass, (sy, sx, 2): all that the phase needs of a scan."""
    seen = np.isfinite(com[..., 0])
    shift = np.nan_to_num(com - (com[seen].mean(axis=0) if seen.any() else 0))
    orientation = orientation or estimate_orientation(shift)
    turned = orientation.to_scan(shift)
    return PhaseContrast(turned, integrate(turned), orientation)


def estimate_orientation(shift: Floats) -> Orientation:
    """How the detector lies, from deflections (sy, sx, 2) along its axes; how it is decided is said at the top of this module."""
    if min(shift.shape[:2]) < 2:
        return Orientation()
    (angle, least), (angle_otherwise, least_otherwise) = (_least_curl(shift[..., order]) for order in ([0, 1], [1, 0]))
    transposed = least_otherwise < least
    if transposed:
        angle, least, least_otherwise = angle_otherwise, least_otherwise, least
    found = Orientation(angle, transposed)
    convergence = _convergence(found.to_scan(shift))
    if convergence < 0:
        angle += 180 if angle <= 0 else -180
    return Orientation(angle, transposed, least, least_otherwise, abs(convergence))


def integrate(slope: Floats) -> Floats:
    """The surface, (sy, sx), whose slopes per step are (sy, sx, 2), by least squares; mean 0.

    By Fourier transform with mirrored borders: exact, to rounding, for sums of cosines that are level at the borders (the basis
    of the discrete cosine transform), of which every surface is one at its positions. Any curl is left out (Frankot and Chellappa
    1988).

    >>> y = np.pi * (np.arange(8) + 0.5)[:, None] / 8 + np.zeros(5)
    >>> slope = np.stack([-np.sin(y) * np.pi / 8, 0 * y], -1)
    >>> bool(np.allclose(integrate(slope), np.cos(y)))
    True
    """
    height, width, _ = slope.shape
    y, x = slope[..., 0], slope[..., 1]
    y = np.block([[y, y[:, ::-1]], [-y[::-1], -y[::-1, ::-1]]])  # mirrored, a slope across the border changes its sign
    x = np.block([[x, -x[:, ::-1]], [x[::-1], -x[::-1, ::-1]]])
    ky, kx = np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width)
    norm = 2 * np.pi * (ky**2 + kx**2)
    norm[0, 0] = np.inf
    surface = np.fft.irfft2(-1j * (ky * np.fft.rfft2(y) + kx * np.fft.rfft2(x)) / norm, (2 * height, 2 * width))[:height, :width]
    return np.asarray(surface - surface.mean())


def rotation(angle_deg: float) -> Floats:
    """(2, 2), for vectors (y, x): +y towards +x, which is anticlockwise on a screen."""
    angle = np.deg2rad(angle_deg)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _slopes(shift: Floats) -> tuple[Floats, Floats]:
    """Divergence and curl, smoothed, without their means: those belong to a plane of deflections."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(shift, (SMOOTHING, SMOOTHING, 0))
    (yy, yx), (xy, xx) = (np.gradient(smooth[..., axis]) for axis in (0, 1))
    divergence, curl = yy + xx, xy - yx
    return divergence - divergence.mean(), curl - curl.mean()


def _least_curl(shift: Floats) -> tuple[float, float]:
    """The turn in degrees, -90 to 90, after which least of the slopes is curl, and how much, 0 to 1.

    Turned by θ the curl is cos θ · curl + sin θ · divergence, and its mean square (a + b)/2 + (a - b)/2 · cos 2θ + m · sin 2θ.
    """
    divergence, curl = _slopes(shift)
    a, b, m = (curl**2).mean(), (divergence**2).mean(), (curl * divergence).mean()
    least = (a + b) / 2 - np.hypot((a - b) / 2, m)
    return float(np.rad2deg(np.arctan2(-m, (b - a) / 2)) / 2), float(least / (a + b)) if a + b > 0 else 0.5


def _convergence(shift: Floats) -> float:
    """Whether the deflection converges, on average, where its integral stands out: a correlation, -1 to 1."""
    weight, divergence = integrate(shift) ** 2, _slopes(shift)[0]
    return float(-np.corrcoef(weight.ravel(), divergence.ravel())[0, 1]) if weight.std() and divergence.std() else 0.0
