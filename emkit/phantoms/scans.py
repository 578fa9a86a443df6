"""A 4D-STEM scan of single electrons whose places are known. Axis order is (sy, sx, ky, kx); places are (ky, kx), px.

The camera: each pixel has an offset and read noise; an electron leaves an energy with the long tail of a thin detector (Moyal),
shared among pixels as a Gaussian around its place; now and then an X-ray saturates a few pixels. Pixel centres are at integers.
The numbers are those of frames of the 4D Camera: offset 19.8, noise 1.83, most probable energy 75 ADU.
The specimen: a disk of the direct beam, deflected by the slope of a phase and dimmed by what scatters into a halo around it.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from emkit.model import CountedScan, offsets_of

REACH_PX = 2  # charge beyond is less than a millionth


@dataclass(frozen=True)
class ScanPhantom:
    """`occupancy` is electrons per pixel of a frame; `beam` the part of them in the disk and its halo, the rest is uniform.
    `drift`: by how much the specimen has moved, in scan positions (sy, sx); `exposure`: each has other electrons of it."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int] = (576, 576)
    seed: int = 1
    occupancy: float = 0.006
    beam: float = 0.9
    offset_adu: float = 19.8
    noise_adu: float = 1.83
    energy_adu: float = 75.0
    energy_spread_adu: float = 11.0
    charge_px: float = 0.4
    xrays: float = 1.0
    drift: tuple[float, float] = (0.0, 0.0)
    exposure: int = 0

    def frame(self, position: int) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
        """What the camera reads at a flat scan position, and where its electrons were, (n, 2)."""
        random = self._random(position)
        at = self._electrons(position, random)
        pixels = self.dark + self.noise_adu * random.standard_normal(self.frame_shape, np.float32)
        energy = self.energy_adu - self.energy_spread_adu * np.log(random.standard_normal(len(at)) ** 2 + 1e-12)
        self._deposit(pixels, at, np.minimum(energy, self.energy_adu + 60 * self.energy_spread_adu))
        for _ in range(random.poisson(self.xrays)):
            y, x = random.integers(0, self.frame_shape)
            pixels[y, x : x + 2] += np.array([3000 + 2000 * random.random(), 1000])[: pixels[y, x : x + 2].size]
        return np.clip(np.rint(pixels), 0, 65535).astype(np.uint16), at

    def electrons(self, position: int) -> NDArray[np.float64]:
        """Where the electrons at a flat scan position are, (n, 2): those of `frame`, without its pixels."""
        return self._electrons(position, self._random(position))

    def counted(self) -> CountedScan:
        """Its true electrons, each in the pixel where it is: what perfect counting finds."""
        found = []
        for position in range(prod(self.scan_shape)):
            y, x = np.rint(self.electrons(position)).astype(np.int64).T
            found.append(np.sort(y * self.frame_shape[1] + x))
        return CountedScan(offsets_of(map(len, found)), np.concatenate(found).astype(np.uint32), self.scan_shape, self.frame_shape)

    @cached_property
    def dark(self) -> NDArray[np.float32]:
        """The offset of each pixel, (H, W), ADU."""
        random = np.random.default_rng([self.seed, 2**32 - 1])
        pixels, rows = random.standard_normal(self.frame_shape), random.standard_normal((self.frame_shape[0], 1))
        return (self.offset_adu + 0.15 * (pixels + rows)).astype(np.float32)

    @cached_property
    def specimen(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """At each position the part of the beam that scatters, 0…1, and how far the disk is deflected, (sy, sx, 2), px."""
        height, width = self.scan_shape
        moved = [np.arange(n) - d for n, d in zip(self.scan_shape, self.drift, strict=True)]
        y, x = np.meshgrid(*(2 * at / max(n - 1, 1) - 1 for n, at in zip(self.scan_shape, moved, strict=True)), indexing="ij")
        particles = np.random.default_rng([self.seed, 2**32 - 2]).uniform((-0.8, -0.8, 0.1), (0.8, 0.8, 0.35), (7, 3))
        lens = sum(np.clip(1 - ((y - v) ** 2 + (x - u) ** 2) / r**2, 0, None) for v, u, r in particles)
        slopes = np.stack([np.gradient(lens, axis=a) if n > 1 else np.zeros_like(lens) for a, n in ((0, height), (1, width))], -1)
        return np.clip(0.1 + 0.5 * lens, 0, 0.8), slopes / max(float(np.abs(slopes).max()), 1e-9) * min(self.frame_shape) / 16

    def _random(self, position: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, position, *[self.exposure] * bool(self.exposure)])

    def _electrons(self, position: int, random: np.random.Generator) -> NDArray[np.float64]:
        size = np.array(self.frame_shape)
        scattering, deflection = (field[divmod(position, self.scan_shape[1])] for field in self.specimen)
        count = random.poisson(self.occupancy * size.prod())
        at = random.uniform(-0.5, size - 0.5, (count, 2))
        in_beam, halo = random.random(count) < self.beam, random.random(count) < scattering
        radius = min(size) / 4 * np.where(halo, 1.1 + 0.8 * random.random(count), np.sqrt(random.random(count)))
        angle = 2 * np.pi * random.random(count)
        beam = (size - 1) / 2 + deflection + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], -1)
        at[in_beam] = beam[in_beam]
        return at[((at >= -0.5) & (at < size - 0.5)).all(1)]

    def _deposit(self, pixels: NDArray[np.float32], at: NDArray[np.float64], energy: NDArray[np.float64]) -> None:
        """Add the charge of each electron: the integral of its Gaussian over each pixel around."""
        middle = np.rint(at).astype(int)
        edges = middle[:, :, None] + np.arange(-REACH_PX, REACH_PX + 2) - 0.5
        below = 0.5 * (1 + erf((edges - at[:, :, None]) / (self.charge_px * np.sqrt(2))))
        share = np.diff(below, axis=2)  # (n, 2, 5)
        charge = energy[:, None, None] * share[:, 0, :, None] * share[:, 1, None, :]
        where = middle[:, :, None] + np.arange(-REACH_PX, REACH_PX + 1)
        y, x = np.broadcast_arrays(where[:, 0, :, None], where[:, 1, None, :])
        inside = (y >= 0) & (y < pixels.shape[0]) & (x >= 0) & (x < pixels.shape[1])
        np.add.at(pixels, (y[inside], x[inside]), charge[inside].astype(np.float32))
