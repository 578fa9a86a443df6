"""A 4D-STEM scan of a phase that is known, with a probe that is known. Axis order is (sy, sx, ky, kx); places are (y, x), nm.

The specimen only delays the wave: it is a phase φ(r), Gaussian blobs as of atoms. The probe is an aperture A(k) with a defocus,

    ψ(r) = ∫ A(k) exp(-iχ(k)) exp(2πi k·r) dk,    χ(k) = -π λ Δf k²,

underfocus Δf > 0, and a frame is |F[ψ(r - p) exp(iφ(r))]|² at the scan position p, of which electrons are drawn (Poisson). Frames
lie along the axes of the specimen; the scan lies to them as `orientation` of the detector says.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emkit.errors import ParameterError
from emkit.model import Calibration, CountedScan, offsets_of

Floats = NDArray[np.float64]
BATCH = 64  # frames made at once


@dataclass(frozen=True)
class PhasePhantom:
    """`phase_rad` is the phase in the middle of the highest blob, `blob_nm` the standard deviation of each, `cover` how many lie on
    an area of blob_nm². `turn` (2, 2) takes vectors along the detector's axes to the scan's; left out they are the same.
    `electrons` come per position, nothing is lost but what is scattered beyond the frame. Frames are `frame_px` squares."""

    scan_shape: tuple[int, int] = (48, 48)
    frame_px: int = 64
    calibration: Calibration = field(default_factory=lambda: Calibration(step_nm=0.1, pixel_mrad=1.0, energy_kev=300.0))
    semiangle_mrad: float = 20.0
    defocus_nm: float = 20.0
    turn: Floats = field(default_factory=lambda: np.eye(2))
    phase_rad: float = 0.3
    blob_nm: float = 0.1
    cover: float = 0.06
    electrons: float = 1000.0
    seed: int = 1

    def __post_init__(self) -> None:
        widest, window = 2 * abs(self.defocus_nm) * self.semiangle_mrad / 1000, self.frame_px * self._pixel_nm
        if widest > window / 2 or self.radius_px > self.frame_px / 2 - 2:
            raise ParameterError(
                f"PhasePhantom: a probe {widest:.2f} nm wide and a disk of {self.radius_px:g} px radius; needed: at most half of a "
                f"window of {window:.2f} nm, and a disk within {self.frame_px} px. Take less defocus, or more and finer pixels."
            )

    @property
    def centre(self) -> tuple[float, float]:
        """Of the beam, (ky, kx) px."""
        return self.frame_px // 2, self.frame_px // 2

    @property
    def radius_px(self) -> float:
        """Of the disk of the direct beam."""
        return self.semiangle_mrad / self.calibration.pixel_mrad

    @cached_property
    def phase(self) -> Floats:
        """φ at each position, (sy, sx), rad."""
        distance = ((self._places[:, :, None] - self._blobs[:, :2]) ** 2).sum(-1)
        return np.asarray(np.exp(-distance / (2 * self.blob_nm**2)) @ self._blobs[:, 2])

    def scan(self) -> CountedScan:
        """The electrons of all frames."""
        random = np.random.default_rng([self.seed, 1])
        places = self._places.reshape(-1, 2)
        frames = [
            random.poisson(self._intensities(places[k : k + BATCH]) * self.electrons).astype(np.uint16)
            for k in range(0, len(places), BATCH)
        ]
        counts = np.concatenate(frames).reshape(len(places), -1)
        at = np.nonzero(counts)
        indices = np.repeat(at[1], counts[at]).astype(np.uint32)
        return CountedScan(offsets_of(counts.sum(1, dtype=np.int64)), indices, self.scan_shape, (self.frame_px, self.frame_px))

    def expected(self) -> Floats:
        """The part of the electrons expected in each pixel, (sy, sx, ky, kx)."""
        places = self._places.reshape(-1, 2)
        frames = [self._intensities(places[k : k + BATCH]) for k in range(0, len(places), BATCH)]
        return np.concatenate(frames).reshape(*self.scan_shape, self.frame_px, self.frame_px)

    # ---- within ----

    @property
    def _pixel_nm(self) -> float:
        return self.calibration.wavelength_nm / (self.frame_px * self.calibration.pixel_mrad / 1000)

    @cached_property
    def _places(self) -> Floats:
        """Of the probe, along the specimen's axes, (sy, sx, 2)."""
        steps = np.moveaxis(np.indices(self.scan_shape), 0, -1) * self.calibration.step_nm
        return np.asarray(steps @ np.linalg.inv(self.turn).T)

    @cached_property
    def _blobs(self) -> Floats:
        """(n, 3): place, phase in the middle."""
        random = np.random.default_rng([self.seed, 0])
        margin = self.frame_px * self._pixel_nm / 2
        low, high = self._places.min((0, 1)) - margin, self._places.max((0, 1)) + margin
        count = max(1, round(self.cover * float(np.prod(high - low)) / self.blob_nm**2))
        at = random.uniform(low, high, (count, 2))
        return np.column_stack([at, self.phase_rad * random.uniform(0.5, 1, count)])

    @cached_property
    def _object(self) -> tuple[NDArray[np.complex128], Floats]:
        """exp(iφ) on pixels, and where the first pixel lies."""
        margin = (self.frame_px / 2 + 1) * self._pixel_nm
        low, high = self._places.min((0, 1)) - margin, self._places.max((0, 1)) + margin
        y, x = (np.arange(a, b + self._pixel_nm, self._pixel_nm) for a, b in zip(low, high, strict=True))
        along_y, along_x = (
            np.exp(-((axis[:, None] - self._blobs[:, k]) ** 2) / (2 * self.blob_nm**2)) for k, axis in enumerate((y, x))
        )
        return np.exp(1j * (along_y * self._blobs[:, 2]) @ along_x.T), low

    @cached_property
    def _probe(self) -> NDArray[np.complex128]:
        """A(k) exp(-iχ(k)), (ky, kx) with k = 0 first, of power 1."""
        angle = np.fft.fftfreq(self.frame_px, 1 / self.frame_px) * self.calibration.pixel_mrad / 1000
        squared = angle[:, None] ** 2 + angle**2
        chi = -np.pi / self.calibration.wavelength_nm * self.defocus_nm * squared
        wave = (squared <= (self.semiangle_mrad / 1000) ** 2) * np.exp(-1j * chi)
        return np.asarray(wave / np.sqrt((np.abs(wave) ** 2).sum()))

    def _intensities(self, places: Floats) -> Floats:
        """(n, ky, kx) for probes at these places (n, 2); the power of the probe is 1."""
        pixels, low = self._object
        at = (places - low) / self._pixel_nm
        whole = np.rint(at).astype(int)
        k = np.fft.fftfreq(self.frame_px)
        shift = at - whole + self.frame_px // 2  # the probe lies in the middle of its window, to a fraction of a pixel
        ramp = np.exp(-2j * np.pi * (shift[:, 0, None, None] * k[:, None] + shift[:, 1, None, None] * k))
        probes = np.fft.ifft2(self._probe * ramp, norm="ortho")
        first = whole - self.frame_px // 2
        windows = np.stack([pixels[y : y + self.frame_px, x : x + self.frame_px] for y, x in first])
        return np.asarray(np.abs(np.fft.fftshift(np.fft.fft2(probes * windows, norm="ortho"), axes=(1, 2))) ** 2)
