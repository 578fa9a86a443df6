"""Where the voxels of a patch come from: turned, flipped, scaled, bent, slipped. Patches are ([z,] y, x).

`Placement` holds the place of each voxel of a patch, in px of the source; `take` reads a source there, an image between its voxels
or the nearest id. Beyond the edge of a source is its mirror image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, pi

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """`places`: (d, *patch), the coordinates in the source of each voxel of the patch."""

    places: Floats

    @property
    def patch(self) -> tuple[int, ...]:
        return self.places.shape[1:]

    def take(self, *sources: NDArray[np.generic], nearest: bool = False) -> Floats:
        """The channels of sources (C, [z,] y, x) of one size at these places, one after the other, (C, *patch)."""
        sizes = sources[0].shape[1:]
        flat = self.places.reshape(len(sizes), -1)
        low = [int(np.clip(floor(value), 0, n - 2)) for value, n in zip(flat.min(1), sizes, strict=True)]
        high = [int(np.clip(ceil(value) + 1, k + 2, n)) for value, n, k in zip(flat.max(1), sizes, low, strict=True)]
        within = (slice(None), *map(slice, low, high))
        window = np.concatenate([source[within] for source in sources], dtype=np.float32, casting="unsafe")
        scaled = [
            (axis - k) * (2 / (h - k - 1)) - 1 for axis, k, h in zip(self.places, low, high, strict=True)
        ]  # to -1…1 from the first voxel to the last, as grid_sample counts
        grid = torch.from_numpy(np.stack(scaled[::-1], -1))[None]
        mode = "nearest" if nearest else "bilinear"
        found = functional.grid_sample(torch.from_numpy(window)[None], grid, mode, "reflection", align_corners=True)
        taken: Floats = found[0].numpy()
        return taken


def place(centre: Sequence[float], patch: Sequence[int], matrix: NDArray[np.float64] | None = None) -> Placement:
    """A patch around a centre, after a linear map of its coordinates (default: none)."""
    axes = [np.arange(n) - (n - 1) / 2 for n in patch]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"))
    mapped = np.tensordot(np.eye(len(patch)) if matrix is None else matrix, offsets, 1)
    at = np.reshape(np.asarray(centre, float), (-1, *[1] * len(patch)))
    return Placement((mapped + at).astype(np.float32))


def turned(rng: Generator, dim: int) -> NDArray[np.float64]:
    """Any angle in the plane of a section."""
    angle = rng.uniform(0, 2 * pi)
    matrix = np.eye(dim)
    matrix[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def flipped(rng: Generator, dim: int) -> NDArray[np.float64]:
    """Each axis as it is, or the other way round."""
    return np.diag(rng.integers(0, 2, dim) * 2.0 - 1)


def exchanged(rng: Generator, dim: int) -> NDArray[np.float64]:
    """The axes in any order: where a voxel is as deep as it is wide."""
    return np.eye(dim)[rng.permutation(dim)]


def scaled(rng: Generator, dim: int, most: float) -> NDArray[np.float64]:
    """Up to `most` times larger or smaller, sections within their plane."""
    factor = np.exp(rng.uniform(-np.log(most), np.log(most)))
    return np.diag([1.0] * (dim - 2) + [factor] * 2)


def bent(placement: Placement, rng: Generator, most_px: float, grain_px: int = 32) -> Placement:
    """Moved by a smooth random field within the plane, by `most_px` times a normal deviate at most, smooth over `grain_px`."""
    patch = placement.patch
    strength = rng.uniform(0, most_px)
    coarse = rng.normal(size=(1, 2, *(n // grain_px + 3 for n in patch[-2:]))).astype(np.float32) * strength
    field = functional.interpolate(torch.from_numpy(coarse), patch[-2:], mode="bicubic", align_corners=True)[0].numpy()
    places = placement.places.copy()
    places[-2:] += field.reshape(2, *[1] * (len(patch) - 2), *patch[-2:])
    return Placement(places)


def slipped(placement: Placement, rng: Generator, most_px: float) -> Placement:
    """From one section on, or in that section alone, moved within the plane: a misaligned section. Patches (z, y, x) only."""
    places, depth = placement.places.copy(), placement.patch[0]
    first = int(rng.integers(1, depth))
    sections = slice(first, first + 1 if rng.random() < 0.5 else depth)
    places[-2:, sections] += rng.uniform(-most_px, most_px, (2, 1, 1, 1)).astype(np.float32)
    return Placement(places)


def as_tensor(array: NDArray[np.float32]) -> Tensor:
    """A tensor with the memory of this array."""
    return torch.from_numpy(np.ascontiguousarray(array))
