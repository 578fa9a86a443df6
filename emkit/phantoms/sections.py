"""Synthetic serial sections whose true alignment is known.

A specimen is a continuous block of made-up neuropil: neurites that wander through z and share out each plane among them as
a power diagram (a Voronoi diagram whose cells have sizes), with a dark membrane along each border, mitochondria, and
grain that no two sections share. A section is the specimen seen through its own true affine, with its own contrast and noise.
So neighbouring sections agree in coarse structure and differ in fine detail, as real ones do.

Axes are (z, y, x); points (y, x) in px. The truth of section z is ``affines[z]``: specimen px → section px.
Same seed, same bytes: every section draws from its own stream, so sections can be rendered in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from emkit.model import Defect
from emkit.phantoms.defects import damage, depths_of
from emkit.transforms import Affine, Floats

Image = NDArray[np.uint8]

CELL_PX = 32.0  # mean distance of neurites; at 4.6 nm a px some 0.15 µm
MEMBRANE_PX = 2.6  # half width of a membrane pair
WANDER_PX = 12.0  # how far a neurite leaves its mean place
PERIODS_Z = (24.0, 60.0)  # sections in which it comes back: some px from one section to the next
MITOCHONDRIA = 0.45  # share of neurites that hold one


@dataclass(frozen=True)
class SectionPhantom:
    """A stack of ``count`` sections of ``shape`` (y, x), each displaced by its own affine.

    ``jitter`` scales the displacements: 1 is up to ±3° of turn, ±3 % of scale, ±2 % of shear and ±4 % of the size in shift.
    Sections in ``bad`` show an unrelated place, as when the wrong field was imaged. ``defects`` names what is wrong with others;
    one out of order has changed places with the fourth after it, a repeat shows the one before again.

    >>> phantom = SectionPhantom(shape=(64, 64), count=3, seed=1)
    >>> phantom.render_section(0).shape, phantom.affines[0].apply([[0, 0]]).shape
    ((64, 64), (1, 2))
    """

    shape: tuple[int, int]
    count: int
    seed: int
    jitter: float = 1.0
    bad: Collection[int] = ()
    defects: Mapping[int, Defect] = field(default_factory=dict)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The truth: at which depth of the specimen each section lies, in sections."""
        return depths_of(self.count, self.defects)

    @cached_property
    def affines(self) -> tuple[Affine, ...]:
        """The truth: for each section the map specimen px → section px."""
        drawn = [self._draw_affine(np.random.default_rng((self.seed, 1, z))) for z in range(self.count)]
        for z, defect in sorted(self.defects.items()):
            if defect == "duplicate" and z:  # imaged again where it lay
                drawn[z] = drawn[z - 1]
        return tuple(drawn)

    def _draw_affine(self, draw: np.random.Generator) -> Affine:
        height, width = self.shape
        centre = np.array([(height - 1) / 2, (width - 1) / 2])
        turn = Affine.rotation(self.jitter * draw.uniform(-3, 3)).linear
        stretch = np.diag(1 + self.jitter * draw.uniform(-0.03, 0.03, 2))
        shear = np.array([[1.0, self.jitter * draw.uniform(-0.02, 0.02)], [0.0, 1.0]])
        linear = turn @ shear @ stretch
        return Affine.of(linear, centre - linear @ centre + self.jitter * 0.04 * draw.uniform(-1, 1, 2) * self.shape)

    @cached_property
    def _neurites(self) -> _Neurites:
        return _Neurites.draw(np.random.default_rng((self.seed, 0)), self.shape)

    @cached_property
    def _elsewhere(self) -> _Neurites:
        return _Neurites.draw(np.random.default_rng((self.seed, 3)), self.shape)

    def render_section(self, z: int) -> Image:
        """(y, x) uint8: section ``z`` as the microscope would give it."""
        defect = self.defects.get(z)
        draw = np.random.default_rng((self.seed, 2, self.depths[z]))
        neurites = self._elsewhere if z in self.bad or defect == "displaced" else self._neurites
        grey = neurites.grey(float(self.depths[z]), self.affines[z].invert(), self.shape) + _grain(draw, self.shape)
        if defect is None:
            return _expose(grey, draw)
        own = np.random.default_rng((self.seed, 4, z))
        return damage(_expose(grey, own), defect, own)

    def label_section(self, z: int) -> NDArray[np.uint16]:
        """(y, x) uint16: the number of the neurite that each pixel of section ``z`` shows, from 1 on; damage apart."""
        neurites = self._elsewhere if z in self.bad or self.defects.get(z) == "displaced" else self._neurites
        return neurites.label(float(self.depths[z]), self.affines[z].invert(), self.shape)


@dataclass(frozen=True)
class _Neurites:
    """All neurites of a specimen; each value is an array with one entry a neurite."""

    place: Floats  # (n, 2) mean place, px
    swing: Floats  # (n, 3, 2) amplitude of the wandering of y, of x (px) and of the radius (relative), in two waves
    pace: Floats  # (n, 3, 2) radians a section
    phase: Floats  # (n, 3, 2)
    radius: Floats  # (n,) px
    shade: Floats  # (n,) grey of the cytoplasm
    mitochondrion: Floats  # (n,) radius in px where there is one, else 0
    ripple: Floats  # (waves, 4) of the warp that bends straight borders: factors of y, x; phase; px

    @classmethod
    def draw(cls, draw: np.random.Generator, shape: tuple[int, int]) -> _Neurites:
        margin = np.array(shape) * 0.12 + 3 * CELL_PX  # what the displaced sections see beyond their own frame
        span = np.array(shape) + 2 * margin
        n = int(np.prod(span) / CELL_PX**2)
        swing = np.abs(draw.normal(0, 1, (n, 3, 2))) * (np.array([WANDER_PX, WANDER_PX, 0.7]) / 2)[:, None]
        waves = 10
        length = draw.uniform(35, 160, waves)
        turn = draw.uniform(0, 2 * np.pi, waves)
        ripple = [np.cos(turn) * 2 * np.pi / length, np.sin(turn) * 2 * np.pi / length]
        return cls(
            place=draw.uniform(-margin, np.array(shape) + margin, (n, 2)),
            swing=swing,
            pace=2 * np.pi / draw.uniform(*PERIODS_Z, (n, 3, 2)),
            phase=draw.uniform(0, 2 * np.pi, (n, 3, 2)),
            radius=CELL_PX * draw.gamma(4.0, 0.15, n),
            shade=draw.normal(0.74, 0.035, n),
            mitochondrion=np.where(draw.random(n) < MITOCHONDRIA, draw.uniform(12, 24, n), 0.0),
            ripple=np.stack([*ripple, draw.uniform(0, 2 * np.pi, waves), length * 0.05], axis=1),
        )

    def grey(self, z: float, section_to_specimen: Affine, shape: tuple[int, int]) -> Floats:
        """(y, x) grey in 0–1 of one plane, without grain."""
        points, centres, first, to_border = self._shared_out(z, section_to_specimen, shape)
        membrane = np.exp(-((_double(to_border, shape) / MEMBRANE_PX) ** 2))
        nearest = _repeat(first, shape)
        inside, depth = self._mitochondria(z, points, first, centres)
        inside *= np.clip((to_border - 5) / 2, 0, 1)  # an organelle keeps clear of the membrane
        organelle, depth = _double(inside, shape), _double(depth, shape)
        plane = self.shade[nearest] - organelle * (0.24 + 0.07 * np.sin(depth))
        grey: Floats = plane - 0.5 * np.clip(membrane + 0.8 * np.exp(-(((organelle - 0.5) / 0.25) ** 2)) * (organelle > 0.05), 0, 1)
        return grey

    def label(self, z: float, section_to_specimen: Affine, shape: tuple[int, int]) -> NDArray[np.uint16]:
        """(y, x) the number of the neurite of each pixel of one plane, from 1 on."""
        return _repeat(self._shared_out(z, section_to_specimen, shape)[2], shape).astype(np.uint16) + np.uint16(1)

    def _shared_out(
        self, z: float, section_to_specimen: Affine, shape: tuple[int, int]
    ) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
        """Of one plane, on every second pixel: places in the specimen, centres of neurites, owners, and how far their border is."""
        # on every second pixel, interpolated: borders are straight over 2 px, and this is the costly part
        coarse = np.moveaxis(np.mgrid[0 : shape[0] + 1 : 2, 0 : shape[1] + 1 : 2], 0, -1).astype(float)
        points = self._bend(section_to_specimen.apply(coarse))
        wave = (self.swing * np.sin(self.pace * z + self.phase)).sum(axis=-1)  # (n, 3)
        radii = self.radius * np.clip(1 + wave[:, 2], 0.2, 1.8)
        centres = self.place + _without_affine(self.place, wave[:, :2], radii)
        return points, centres, *_power_diagram(points, centres, radii)

    def _bend(self, points: Floats) -> Floats:
        """The points displaced by a few sine waves, so that borders are curved."""
        bent = points.copy()
        for number, (ky, kx, phase, size) in enumerate(self.ripple):
            bent[..., number % 2] += size * np.sin(ky * points[..., 0] + kx * points[..., 1] + phase)
        return bent

    def _mitochondria(self, z: float, points: Floats, owner: NDArray[np.intp], centres: Floats) -> tuple[Floats, Floats]:
        """How far inside an organelle each point is (0 outside, 1 inside, smooth over 2 px), and the phase of its cristae."""
        size = self.mitochondrion[owner] * np.clip(1.6 * np.sin(self.pace[owner, 0, 0] * 0.7 * z + self.phase[owner, 0, 0]), 0, 1)
        apart = points - centres[owner]
        turn = self.phase[owner, 1, 0]
        along = apart[..., 0] * np.cos(turn) + apart[..., 1] * np.sin(turn)
        across = apart[..., 1] * np.cos(turn) - apart[..., 0] * np.sin(turn)
        inside = np.clip((size - np.hypot(along / 1.5, across)) / 2 + 0.5, 0, 1) * (size > 3)
        return inside, along * 0.9 + 0.02 * across**2


def _without_affine(places: Floats, motion: Floats, weights: Floats) -> Floats:
    """The motion (n, 2) less the affine that fits it best: what all neurites do alike would be a displacement of the section."""
    design = np.column_stack([places, np.ones(len(places))])
    common = np.linalg.lstsq(design * weights[:, None], motion * weights[:, None], rcond=None)[0]
    rest: Floats = motion - design @ common
    return rest


def _power_diagram(points: Floats, centres: Floats, radii: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The cell that owns each point, and the distance (px) to the border with the next one.

    A point belongs to the centre of least ``|p - c|² - r²``. Lifting each centre by ``sqrt(max r² - r²)`` into a third
    dimension makes that the nearest neighbour of the point on the ground (Aurenhammer 1987).
    """
    lift = np.sqrt(np.maximum(radii.max() ** 2 - radii**2, 0))
    flat = np.column_stack([points.reshape(-1, 2), np.zeros(points.size // 2)])
    power, owner = cKDTree(np.column_stack([centres, lift])).query(flat, k=2)
    between = np.hypot(*(centres[owner[:, 0]] - centres[owner[:, 1]]).T)
    border = (power[:, 1] ** 2 - power[:, 0] ** 2) / (2 * np.maximum(between, 1.0))
    return owner[:, 0].reshape(points.shape[:-1]), border.reshape(points.shape[:-1])


def _repeat(coarse: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Numbers on every second pixel, repeated to all of them."""
    return np.repeat(np.repeat(coarse, 2, 0), 2, 1)[: shape[0], : shape[1]]


def _double(coarse: Floats, shape: tuple[int, int]) -> Floats:
    """Values on every second pixel, interpolated linearly to all of them."""
    rows = np.empty((2 * coarse.shape[0] - 1, coarse.shape[1]))
    rows[::2], rows[1::2] = coarse, (coarse[1:] + coarse[:-1]) / 2
    full = np.empty((rows.shape[0], 2 * rows.shape[1] - 1))
    full[:, ::2], full[:, 1::2] = rows, (rows[:, 1:] + rows[:, :-1]) / 2
    return full[: shape[0], : shape[1]]


def _grain(draw: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Filaments, vesicles and stain: texture of a few px that this section alone has."""
    fine, broad = (ndimage.gaussian_filter(draw.standard_normal(shape), size) for size in (1.3, 6.0))
    fine, broad = fine / fine.std(), broad / broad.std()
    grain: Floats = -0.065 * np.clip(fine + 0.6 * broad, -0.8, None) - 0.06 * np.clip(fine - 1.3, 0, None) - 0.02 * broad
    return grain


def _expose(grey: Floats, draw: np.random.Generator) -> Image:
    """Optics, uneven light, this section's contrast, noise, 8 bits."""
    blurred = ndimage.gaussian_filter(grey, 0.8)
    ramp_y, ramp_x = (np.linspace(-1, 1, n) * draw.uniform(-0.06, 0.06) for n in grey.shape)
    lit = blurred * (1 + ramp_y[:, None] + ramp_x)
    counts = 255 * (draw.uniform(1.05, 1.4) * (lit - 0.62) + 0.57 + draw.uniform(-0.06, 0.06))
    exposed: Image = np.clip(counts + draw.normal(0, 9.0, grey.shape), 0, 255).astype(np.uint8)
    return exposed
