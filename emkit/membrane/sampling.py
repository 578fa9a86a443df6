"""Patches to learn from: where they are taken, how they are changed, and what is asked of the network there.

A `Field` is what is learned from one labelled piece: gray values with the maps of the targets over it. In 2D its patches are of one
section, (y, x); in 3D (z, y, x). Patch number `k` of a training is the same whenever it is asked for: its randomness is its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from emkit.errors import DataError, ParameterError
from emkit.membrane import augmentation, geometry
from emkit.membrane.model import Target
from emkit.membrane.targets import affinities_of, radius_of, room_in

Floats = NDArray[np.float32]
TRIES = 20  # for a patch that is not rejected
PLAIN = 0.5  # of isotropic patches are taken voxel by voxel, mirrored and with axes exchanged: what is predicted is as sharp
SCALE = 1.25
BEND_PX = 6.0
SLIP_PX = 8.0


@dataclass(frozen=True)
class Field:
    """A labelled piece: gray values as the network sees them (z, y, x), maps (C, z, y, x) from 0 to 1, ids, and what is known."""

    image: Floats
    maps: NDArray[np.float16]
    ids: NDArray[np.int32]
    known: NDArray[np.bool_]

    def part(self, z: slice, y: slice = slice(None)) -> "Field":
        return Field(self.image[z, y], self.maps[:, z, y], self.ids[z, y], self.known[z, y])


@dataclass(frozen=True)
class Example:
    """A patch (*patch), what is asked of each channel there (C, *patch), and how much it counts."""

    image: Floats
    truth: Floats
    weight: Floats


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn. `patch` is ([z,] y, x); `isotropic`: a voxel is as deep as it is wide, so axes may be exchanged.

    `saturated`: only where all of the patch is labelled. `empty`: which part of the patches in which the first target is nowhere
    is kept; less than 1 for structures that are rare.
    """

    dim: Literal[2, 3]
    patch: tuple[int, ...]
    targets: tuple[Target, ...]
    isotropic: bool = False
    saturated: bool = True
    empty: float = 1.0
    augment: bool = True


@dataclass
class Sampler:
    """Draws examples from fields. DataError where no patch fits."""

    fields: Sequence[Field]
    sampling: Sampling
    places: list[tuple[int, int, NDArray[np.intp]]] = field(init=False)

    def __post_init__(self) -> None:
        side = max(self.sampling.patch[-2:])
        radius = radius_of(side, SCALE) if self.sampling.augment else side // 2
        self.places, most = [], 0
        for number, one in enumerate(self.fields):
            for z, known in enumerate(one.known):
                room = room_in(known) if self.sampling.saturated else np.where(known, radius, 0)
                most = max(most, int(room.max()))
                if (fits := np.flatnonzero(room >= radius)).size:
                    self.places.append((number, z, fits))
        if not self.places:
            fitting = int(most / (2**0.5 * SCALE) * 2) // 16 * 16
            raise DataError(
                f"patch_px: a patch of {side} px, turned and scaled, needs an area of {2 * radius} px labelled without a gap; "
                f"the largest that fits the labels is {fitting} px. Label larger areas, or pass --patch-px {max(fitting, 16)}."
            )

    def example(self, rng: Generator) -> Example:
        """One patch, drawn anew while it is rejected."""
        for _ in range(TRIES):
            found = self._draw(rng)
            if self.sampling.empty >= 1 or found.truth[0].max() > 0.5 or rng.random() < self.sampling.empty:
                break
        return found

    def _draw(self, rng: Generator) -> Example:
        number, z, fits = self.places[int(rng.integers(len(self.places)))]
        one, asked = self.fields[number], self.sampling
        y, x = np.unravel_index(int(fits[rng.integers(fits.size)]), one.known.shape[1:])
        if asked.dim == 2:
            one, centre = one.part(slice(z, z + 1)), [float(y), float(x)]
        else:
            centre = [float(z), float(y), float(x)]
        where = self._placed(centre, rng)
        flat = asked.dim == 2
        image, *maps = where.take(one.image if flat else one.image[None], one.maps[:, 0] if flat else one.maps)
        known, ids = np.ones_like(image), np.zeros_like(image)
        if not one.known.all() or any(target.offsets for target in asked.targets):
            known, ids = where.take(*(part if flat else part[None] for part in (one.known, one.ids)), nearest=True)
        truth, weight = [np.reshape(maps, (-1, *known.shape))], [np.broadcast_to(known, (len(maps), *known.shape))]
        for target in asked.targets:
            if target.offsets:
                same, inside = affinities_of((ids[None] if flat else ids).astype(np.int32), target.offsets)
                truth.append(same[:, 0] if flat else same)
                weight.append((inside[:, 0] if flat else inside) * known)
        if asked.augment:
            image = changed(image, rng)
        return Example(image, np.concatenate(truth), np.concatenate(weight).astype(np.float32))

    def _placed(self, centre: list[float], rng: Generator) -> geometry.Placement:
        asked = self.sampling
        if not asked.augment:
            return geometry.place(centre, asked.patch)
        if asked.isotropic and rng.random() < PLAIN:
            on_voxels = [axis + (n - 1) % 2 / 2 for axis, n in zip(centre, asked.patch, strict=True)]
            return geometry.place(on_voxels, asked.patch, geometry.flipped(rng, 3) @ geometry.exchanged(rng, 3))
        matrix = geometry.turned(rng, asked.dim) @ geometry.scaled(rng, asked.dim, SCALE) @ geometry.flipped(rng, asked.dim)
        if asked.dim == 3 and asked.isotropic:
            matrix = matrix @ geometry.exchanged(rng, 3)
        placed = geometry.bent(geometry.place(centre, asked.patch, matrix), rng, BEND_PX)
        if asked.dim == 3 and not asked.isotropic and rng.random() < 0.2:
            placed = geometry.slipped(placed, rng, SLIP_PX)
        return placed


def changed(image: Floats, rng: Generator) -> Floats:
    """Gray values as another microscope, section or day would give them."""
    image = augmentation.gamma(augmentation.gray(image, rng), rng)
    for change, chance in (
        (augmentation.defocus, 0.15),
        (augmentation.motion_blur, 0.05),
        (augmentation.noise, 0.5),
        (augmentation.cut_out, 0.1),
        (augmentation.missing_section, 0.1 if image.ndim == 3 else 0.0),
    ):
        if rng.random() < chance:
            image = change(image, rng)
    return image


def randomness(seed: int, number: int) -> Generator:
    """Of the patch of this number."""
    return np.random.default_rng([seed, number])


def check_patch(patch: Sequence[int], stride: tuple[int, int, int]) -> None:
    """ParameterError for a patch that is no multiple of the stride (z, y, x) of a network, or in which its deepest level sees one
    voxel."""
    steps = stride[-len(patch) :]
    if any(size % step for size, step in zip(patch, steps, strict=True)) or patch[-1] < 2 * steps[-1]:
        raise ParameterError(
            f"patch_px: found {patch[-1]}, patches of {tuple(patch)} px; needed: multiples of {tuple(steps)} px, and "
            f"{2 * steps[-1]} at least. Pass --patch-px {max(2, round(patch[-1] / steps[-1])) * steps[-1]}."
        )
