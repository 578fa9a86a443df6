"""Defocus, orientation and phase from the parallax of the bright field. Axis order is (sy, sx, ky, kx).

Also called tilt-corrected bright field. By reciprocity each pixel of the bright-field disk sees the specimen as a tilted plane
wave would: its image is that of the middle pixel, moved in proportion to its distance k from there,

    image_k(p) = image_0(p - M k),    M = (pixel / step) · R · T · S

with R · T the orientation of the detector (`emkit.count.phase`) and S symmetric: the defocus on its diagonal, and what is left is
astigmatism (Spoth, Nguyen, Muller and Kourkoutis 2017; Varnavides et al. 2023). So all pairs of pixels that lie equally far apart
are moved by the same, and their correlations are added before anything is decided: few electrons a pixel are enough, and no
reference is needed that would have to be sharp first. M is the map for which the correlations of pairs at all distances add up to
most.

Defocus Δf > 0 is underfocus. Moved images tell M alone: a defocus of the other sign, with the detector turned by 180°, gives the
same. Which of them it is must come from elsewhere: the sign of the phase (`estimate_orientation`), or a known rotation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.linalg import polar
from scipy.optimize import minimize
from scipy.signal.windows import tukey

from emkit.count.phase import Orientation
from emkit.count.virtual import annulus, estimate_centre, radial_profile, ring_pixels
from emkit.errors import DataError, ParameterError
from emkit.model import Calibration, CountedScan

Floats = NDArray[np.float64]
Waves = NDArray[np.complex64]
LEAST_SNR = 4.0  # noise alone reaches it once in 30,000 scans, if it is normal; of 12 blank ones none reached 2


@dataclass(frozen=True)
class Parallax:
    """`steps_per_px` (2, 2): M above, from px of the detector to steps of the scan; `snr`: of the correlation of a
    half of the electrons, moved back by what the other half has told."""

    steps_per_px: Floats
    snr: float

    def aberrations(self, calibration: Calibration, near: Orientation | None = None) -> "Aberrations":
        """In units. Of the two that fit, the one with the detector turned by at most 90° against `near`, or else the scan."""
        transposed = bool(np.linalg.det(self.steps_per_px) < 0)
        turn, stretch = polar(self.steps_per_px @ (np.eye(2)[::-1] if transposed else np.eye(2)))
        angle, sign = float(np.rad2deg(np.arctan2(turn[1, 0], turn[0, 0]))), 1
        if abs(_wrapped(angle - (near.rotation_deg if near else 0))) > 90:
            angle, sign = _wrapped(angle + 180), -1
        foci = sign * np.linalg.eigvalsh(stretch) * calibration.step_nm / (calibration.pixel_mrad / 1000)
        return Aberrations(float(foci.mean()), float(np.ptp(foci)) / 2, Orientation(angle, transposed))


@dataclass(frozen=True)
class Aberrations:
    """`defocus_nm` (underfocus is positive), `astigmatism_nm` (half of how far the two foci are apart), `orientation`."""

    defocus_nm: float
    astigmatism_nm: float
    orientation: Orientation

    def __str__(self) -> str:
        return f"defocus {self.defocus_nm:.1f} nm, astigmatism {self.astigmatism_nm:.1f} nm, {self.orientation}"


@dataclass(frozen=True)
class ParallaxImage:
    """`bright_field` (sy, sx): the images of all pixels of the disk, moved back and added, relative to their mean, which is 0;
    `phase` (sy, sx): of a weak phase object that would look so, rad, mean 0."""

    parallax: Parallax
    aberrations: Aberrations
    bright_field: Floats
    phase: Floats


def reconstruct_parallax(
    scan: CountedScan,
    calibration: Calibration,
    disk: tuple[tuple[float, float], float] | None = None,
    near: Orientation | None = None,
) -> ParallaxImage:
    """Defocus, orientation, the aligned bright field and the phase, from the counted scan alone.

    `disk` is centre (ky, kx) and radius of the direct beam, px; left out, it is estimated. `near` chooses the sign of the
    defocus, and so of the phase: see `Parallax.aberrations`. Errors: those of `estimate_parallax`.
    """
    centre, radius_px = disk or estimate_disk(scan)
    parallax = estimate_parallax(scan, calibration, centre, radius_px)
    aberrations = parallax.aberrations(calibration, near)
    electrons = _aligned(scan, parallax, centre, radius_px)
    image = electrons / electrons.mean() - 1
    foci = parallax.steps_per_px @ aberrations.orientation.matrix.T * calibration.step_nm / (calibration.pixel_mrad / 1000)
    transfer = _transfer(image.shape, foci, calibration, radius_px * calibration.pixel_mrad)
    return ParallaxImage(parallax, aberrations, image, _without_transfer(image, transfer, float(1 / electrons.mean())))


def estimate_parallax(
    scan: CountedScan, calibration: Calibration, centre: tuple[float, float], radius_px: float, across: int = 12
) -> Parallax:
    """How the images of the bright-field pixels are moved against each other.

    Pixels within the radius around the centre (ky, kx) are joined to square groups, of which `across` fit across the disk; as many
    complex images of the scan are held as there are groups. Raises DataError where the images share nothing.

    Of the image of a pixel only those frequencies q are used whose both diffracted waves, at k + q and k - q, pass the aperture
    wherever q points: |k| + |q| <= radius. With one of them cut off an image is not only moved, which would feign more defocus.
    """
    half = np.random.default_rng(0).random(scan.events) < 0.5  # one half finds, the other judges: their noise is independent
    one, side = _shared_spectra(scan.select(half), calibration, centre, radius_px, across)
    other, _ = _shared_spectra(scan.select(~half), calibration, centre, radius_px, across)
    found = _improved(_first_guess(one), one)
    correlation = np.fft.ifft2(sum(_moved(wave, found @ np.array(pair)) for pair, wave in other.items())).real
    fade = _fade(scan.scan_shape)
    noise = correlation.std() * np.sqrt((fade**4).mean()) / (fade**2).mean()  # where nothing is moved, more of the borders overlap
    snr = float(correlation[0, 0] / noise) if noise else 0.0
    if snr < LEAST_SNR:
        raise DataError(
            f"The images of the bright-field pixels have nothing in common (SNR {snr:.1f}, needed {LEAST_SNR:g}). Check centre and "
            "radius of the disk; a specimen in focus, or too few electrons, shows no parallax."
        )
    shared, _ = _shared_spectra(scan, calibration, centre, radius_px, across)
    return Parallax(_improved(found, shared) / side, snr)


def align_bright_field(
    scan: CountedScan, parallax: Parallax, centre: tuple[float, float], radius_px: float, across: int = 24
) -> Floats:
    """The images of groups of bright-field pixels, each moved back and added: (sy, sx), relative to the mean, which is 0.

    What leaves the scan on one side comes in on the other: the border is wrong by as far as images are moved.
    """
    electrons = _aligned(scan, parallax, centre, radius_px, across)
    return np.asarray(electrons / electrons.mean() - 1)


def _aligned(scan: CountedScan, parallax: Parallax, centre: tuple[float, float], radius_px: float, across: int = 24) -> Floats:
    total = np.zeros(scan.scan_shape, np.complex128)
    for _, k, image in _tilted_images(scan, centre, radius_px, _side(radius_px, across)):
        total += _moved(scipy.fft.fft2(image), parallax.steps_per_px @ k)
    return np.asarray(np.fft.ifft2(total).real)


def estimate_disk(scan: CountedScan) -> tuple[tuple[float, float], float]:
    """Centre (ky, kx) and radius of the direct beam, px: a disk of the area that is brighter than half of its middle."""
    centre = estimate_centre(scan)
    profile = radial_profile(scan, centre).sum((0, 1))
    density = profile / np.maximum(ring_pixels(scan.frame_shape, centre, len(profile)), 1)
    area = (scan.sum("scan") > np.median(density[density > density.max() / 2]) / 2).sum()
    return centre, float(np.sqrt(area / np.pi))


def _side(radius_px: float, across: int) -> int:
    """The side of a group of pixels."""
    if not (radius_px >= 2 and across >= 4):
        raise ParameterError(
            f"radius_px, across: found {radius_px:g} and {across}; needed a radius of 2 px or more, 4 groups or more."
        )
    return max(1, round(2 * radius_px / across))


def _tilted_images(
    scan: CountedScan, centre: tuple[float, float], radius_px: float, side: int
) -> Iterator[tuple[tuple[int, int], Floats, NDArray[np.float32]]]:
    """Of each group of pixels wholly in the disk: (gy, gx) from the middle one, (ky, kx) from the centre, the image (sy, sx)."""
    reach = int(np.ceil(radius_px / side))
    count = 2 * reach + 1
    first = np.array([round(at - (side - 1) / 2) - reach * side for at in centre])
    group = (np.indices(scan.frame_shape) - first[:, None, None]) // side
    within = annulus(scan.frame_shape, centre, 0, radius_px) & ((group >= 0) & (group < count)).all(0)
    of_pixel = np.where(within, group[0] * count + group[1], count**2).astype(np.uint16).ravel()
    of_event = of_pixel[scan.indices]
    order = np.argsort(of_event, kind="stable")
    ends = np.cumsum(np.bincount(of_event, minlength=count**2 + 1))
    position = np.repeat(scan.positions, scan.counts)[order]
    for at in np.flatnonzero(np.bincount(of_pixel, minlength=count**2)[: count**2] == side**2):
        events = position[ends[at - 1] if at else 0 : ends[at]]
        image = np.bincount(events, minlength=prod(scan.scan_shape)).reshape(scan.scan_shape).astype(np.float32)
        y, x = divmod(int(at), count)
        yield (y - reach, x - reach), np.array([y, x]) * side + (side - 1) / 2 + first - centre, image


def _shared_spectra(
    scan: CountedScan, calibration: Calibration, centre: tuple[float, float], radius_px: float, across: int
) -> tuple[dict[tuple[int, int], Waves], int]:
    """The cross spectra of groups that lie (y, x) apart, y >= 0, added up for each (y, x); and the side of a group."""
    side = _side(radius_px, across)
    px_per_q = calibration.wavelength_nm / calibration.step_nm / (calibration.pixel_mrad / 1000)
    q_px = px_per_q * np.hypot(np.fft.fftfreq(scan.scan_shape[0])[:, None], np.fft.fftfreq(scan.scan_shape[1]))
    reach, fade = int(np.ceil(radius_px / side)), _fade(scan.scan_shape)
    waves: Waves = np.zeros((2 * reach + 1, 2 * reach + 1, *scan.scan_shape), np.complex64)
    for (y, x), k, image in _tilted_images(scan, centre, radius_px, side):
        waves[y + reach, x + reach] = scipy.fft.fft2((image - image.mean()) * fade) * (q_px <= radius_px - np.hypot(*k))
    apart = [(y, x) for y in range(reach + 1) for x in range(-reach, reach + 1) if (y > 0 or x > 0) and np.hypot(y, x) <= reach]
    return {pair: _shared(waves, *pair) for pair in apart}, side


def _fade(scan_shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(np.outer(*(tukey(n + 2, 0.25)[1:-1] for n in scan_shape)), np.float32)


def _shared(waves: Waves, y: int, x: int) -> Waves:
    """The cross spectrum of all groups that lie (y, x) apart, y >= 0, added."""
    size = len(waves)
    one = waves[: size - y, max(0, -x) : size - max(0, x)]
    other = waves[y:, max(0, x) : size - max(0, -x)]
    return np.asarray(np.einsum("abyx,abyx->yx", one.conj(), other))


def _first_guess(shared: dict[tuple[int, int], Waves]) -> Floats:
    """M, steps per group, without astigmatism: the best of all that move no image by more than a quarter of the scan."""
    apart = np.array(list(shared), np.float64)
    correlations = np.stack([scipy.fft.ifft2(wave).real for wave in shared.values()])
    shape, reach = np.array(correlations.shape[1:]), float(np.hypot(*apart.T).max())
    most = int(shape.min() / 4)
    a, b = (axis.ravel()[:, None] / reach for axis in np.mgrid[-most : most + 1, -most : most + 1])
    best, guess = -np.inf, np.eye(2)
    for hand in (1, -1):  # of a rotation and stretch ((a, -b), (b, a)), and of its mirror image
        y, x = a * apart[:, 0] - hand * b * apart[:, 1], b * apart[:, 0] + hand * a * apart[:, 1]
        found = correlations[np.arange(len(apart)), np.rint(y).astype(int) % shape[0], np.rint(x).astype(int) % shape[1]].sum(1)
        at = int(found.argmax())
        if found[at] > best:
            best, guess = found[at], np.array([[a[at, 0], -hand * b[at, 0]], [b[at, 0], hand * a[at, 0]]])
    return guess


def _improved(guess: Floats, shared: dict[tuple[int, int], Waves]) -> Floats:
    """The M near the guess for which the correlations of all pairs add up to most, to a fraction of a step."""
    shape = next(iter(shared.values())).shape
    qy, qx = (2j * np.pi * np.fft.fftfreq(n) for n in shape)
    scale = sum(float(np.abs(wave).sum()) for wave in shared.values()) or 1.0

    def lost(flat: Floats) -> tuple[float, Floats]:
        value, slope = 0.0, np.zeros((2, 2))
        for pair, wave in shared.items():
            move = flat.reshape(2, 2) @ pair
            ey, ex = np.exp(qy * move[0]), np.exp(qx * move[1])
            sums = wave @ np.stack([ex, qx * ex], -1).astype(np.complex64)
            value += float((ey @ sums[:, 0]).real)
            slope += np.outer([((qy * ey) @ sums[:, 0]).real, (ey @ sums[:, 1]).real], pair)
        return -value / scale, -slope.ravel() / scale

    return np.asarray(minimize(lost, guess.ravel(), jac=True, method="BFGS", options={"gtol": 1e-7}).x.reshape(2, 2))


def _moved(wave: Waves, move: Floats) -> NDArray[np.complex128]:
    """The spectrum of an image that is moved back by so many steps (y, x)."""
    qy, qx = (np.exp(2j * np.pi * np.fft.fftfreq(n) * step) for n, step in zip(wave.shape, move, strict=True))
    return np.asarray(wave * qy[:, None] * qx)


def _transfer(shape: tuple[int, ...], foci: Floats, calibration: Calibration, semiangle_mrad: float) -> Floats:
    """How much of a weak phase comes into the aligned bright field at each frequency q.

    It is 2 sin χ(q) times the overlap of the aperture with itself; χ(q) = -π λ q·D q with the foci D (2, 2) along the scan's axes.
    """
    q = np.stack(np.meshgrid(*(np.fft.fftfreq(n, calibration.step_nm) for n in shape), indexing="ij"), -1)
    chi = -np.pi * calibration.wavelength_nm * np.einsum("yxi,ij,yxj->yx", q, foci, q)
    half = np.minimum(np.hypot(q[..., 0], q[..., 1]) * calibration.wavelength_nm / (2 * semiangle_mrad / 1000), 1)
    return np.asarray(2 * np.sin(chi) * 2 / np.pi * (np.arccos(half) - half * np.sqrt(1 - half**2)))


def _without_transfer(image: Floats, transfer: Floats, noise: float) -> Floats:
    """What came through the transfer into the image, by Wiener's filter.

    The noise is that of counting, and known; the power of the signal is what the image's exceeds it by, and by two standard
    deviations, ring by ring of frequencies.
    """
    waves = np.fft.fft2(image)
    ring = np.rint(max(image.shape) * np.hypot(*np.meshgrid(*map(np.fft.fftfreq, image.shape), indexing="ij"))).astype(int).ravel()
    size = np.bincount(ring)
    power = np.bincount(ring, (np.abs(waves) ** 2).ravel() / image.size) / size - noise * (1 + 2 * np.sqrt(2 / size))
    passed = np.bincount(ring, transfer.ravel() ** 2) / size
    signal = (np.maximum(power, 0) / np.maximum(passed, 1e-3))[ring].reshape(image.shape)
    return np.asarray(np.fft.ifft2(waves * transfer * signal / (transfer**2 * signal + noise)).real)


def _wrapped(angle_deg: float) -> float:
    return (angle_deg + 180) % 360 - 180
