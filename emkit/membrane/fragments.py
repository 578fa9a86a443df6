"""Fragments: pieces of cells that no membrane crosses, small enough to be joined rightly. Axis order is (z, y, x).

    seeds       voxels at which the distance to the nearest membrane is largest among their neighbours
    fragments   the watershed of the membrane probability from the seeds, each the union of seed voxels that touch

Distances are capped, so that seeds depend on what lies within `HALO_PX` alone: blocks with that halo find those of the whole,
bit for bit. In two dimensions each section is for itself.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.membrane.regions import Bools, Labels, distance_inside, flood
from emkit.model import Shape, SizeNm

Dim = Literal[2, 3]
Probability = NDArray[np.float32]
MEMBRANE = 0.1  # what is more probable than this is membrane, where distances are measured
CAP_PX, SIGMA_PX, REACH_PX = 24.0, 1.5, 4  # the largest distance; how far it is smoothed; how far a seed is alone
LEAST_PX, SLOPE = 0.5, 0.2  # distance of a seed at least; log odds that a px of distance is worth when fragments grow
HALO_PX = 48  # more than the cap, four sigma and the reach together
ODDS = 256  # parts of one unit of log odds
THICK = 3.0  # sections this many times thicker than a pixel is wide are looked at one by one
FAINTEST = 0.005  # probabilities nearer to 0 or 1 than this tell no more


@dataclass(frozen=True)
class Geometry:
    """In how many dimensions cells are sought, and how much longer voxels are along z than along the shorter side of a section."""

    dim: Dim
    anisotropy: float

    @classmethod
    def of(cls, voxel_size_nm: SizeNm, dim: Dim) -> "Geometry":
        return cls(dim, voxel_size_nm[0] / min(voxel_size_nm[1:]))

    @property
    def flat(self) -> bool:
        """Fragments lie in one section each: there are no others, or sections are too thick to be crossed by a distance."""
        return self.dim == 2 or self.anisotropy > THICK

    @property
    def linked(self) -> bool:
        """Cells of sections are to be linked to cells of the volume."""
        return self.dim == 3 and self.flat


def with_halo(block: Block, shape: Shape, geometry: Geometry) -> Block:
    """The block with what its fragments depend on: clipped, not padded, at the ends of the volume."""
    z, y, x = (
        (max(low - halo, 0), min(high + halo, size))
        for (low, high), size, halo in zip((block.z, block.y, block.x), shape, halos(geometry), strict=True)
    )
    return Block(z, y, x)


def halos(geometry: Geometry) -> Shape:
    return (0 if geometry.flat else int(np.ceil(HALO_PX / geometry.anisotropy)), HALO_PX, HALO_PX)


def within(inner: Block, outer: Block) -> tuple[slice, slice, slice]:
    """Where a block lies in an array of the block around it."""
    z, y, x = (
        slice(a[0] - b[0], a[1] - b[0]) for a, b in zip((inner.z, inner.y, inner.x), (outer.z, outer.y, outer.x), strict=True)
    )
    return z, y, x


def membrane_distance(probability: Probability, geometry: Geometry, mask: Bools | None = None) -> Probability:
    """How far each voxel is from the nearest membrane, or from what the mask leaves out; capped, smoothed, in px of a section."""
    inside = probability < MEMBRANE if mask is None else (probability < MEMBRANE) & mask
    if not geometry.flat:
        return _smoothed(inside, (geometry.anisotropy, 1.0, 1.0))
    return np.stack([_smoothed(section, (1.0, 1.0)) for section in inside])


def find_seeds(distance: Probability, geometry: Geometry) -> Bools:
    """Where fragments begin: no voxel around is further from membranes."""
    from scipy import ndimage

    reach = (0 if geometry.flat else max(1, round(REACH_PX / geometry.anisotropy)), REACH_PX, REACH_PX)
    highest = ndimage.maximum_filter(distance, [2 * px + 1 for px in reach])
    seeds: Bools = (highest == distance) & (distance > LEAST_PX)
    return seeds


def grow_fragments(
    probability: Probability, distance: Probability, seeds: Labels, geometry: Geometry, mask: Bools | None = None
) -> Labels:
    """Each voxel of the mask gets the seed that reaches it over the least probable membrane.

    Away from membranes the distance to them makes a slope, so that near seeds win and what lies far away has no say.
    """
    height = membrane_odds(probability) - np.float32(SLOPE * ODDS) * distance
    if not geometry.flat:
        return flood(height, seeds, mask)
    masks: Any = [None] * len(seeds) if mask is None else mask
    return np.stack([flood(*section) for section in zip(height, seeds, masks, strict=True)])


def membrane_odds(probability: Probability) -> NDArray[np.int16]:
    """Log odds of membrane, in parts of `ODDS`."""
    p = np.clip(probability, FAINTEST, 1 - FAINTEST)
    odds: NDArray[np.int16] = np.rint(np.log(p / (1 - p)) * ODDS).astype(np.int16)
    return odds


def _smoothed(inside: Bools, voxel_size: tuple[float, ...]) -> Probability:
    from scipy import ndimage

    distance = np.minimum(distance_inside(inside, voxel_size), np.float32(CAP_PX))
    ndimage.gaussian_filter(distance, [SIGMA_PX / size for size in voxel_size], output=distance, truncate=4.0)
    return np.where(inside, distance, np.float32(0))
