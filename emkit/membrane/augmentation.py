"""What can happen to the gray values of a section: each is a function from a patch ([z,] y, x) to one of the same shape.

Gray values are those of the network: their mean is about 0, their standard deviation about 1. All randomness comes from `rng`.
"""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Patch = NDArray[np.float32]


def gray(patch: Patch, rng: Generator, contrast: float = 0.3, brightness: float = 0.4) -> Patch:
    """More or less contrast, and brighter or darker."""
    return _same(patch * rng.uniform(1 - contrast, 1 + contrast) + rng.uniform(-brightness, brightness))


def gamma(patch: Patch, rng: Generator, most: float = 0.35) -> Patch:
    """Middle values move, black and white stay: a power of the values, squeezed into 0…1."""
    squeezed = 1 / (1 + np.exp(np.clip(-1.2 * patch, -7, 7)))
    powered = squeezed ** np.exp(rng.uniform(-most, most))
    return _same(0.7 / 1.2 * np.log(powered / (1 - powered)) + 0.3 * patch)


def noise(patch: Patch, rng: Generator, most: float = 0.3) -> Patch:
    """White noise."""
    return patch + rng.normal(size=patch.shape, scale=rng.uniform(0.02, most)).astype(np.float32)


def defocus(patch: Patch, rng: Generator, most_px: float = 1.6) -> Patch:
    """Blurred evenly; of a volume all sections, or one."""
    return _some_sections(patch, rng, lambda part, sigma: ndimage.gaussian_filter(part, (0, sigma, sigma)), most_px)


def motion_blur(patch: Patch, rng: Generator, most_px: float = 6.0) -> Patch:
    """Blurred along a line of any direction, as by charge or drift."""
    angle = rng.uniform(0, np.pi)

    def blur(part: Patch, length: float) -> Patch:
        reach = np.linspace(-length / 2, length / 2, max(2, ceil(length) + 1))
        moved = [ndimage.shift(part, (0, t * np.sin(angle), t * np.cos(angle)), order=1, mode="nearest") for t in reach]
        return _same(np.mean(moved, 0))

    return _some_sections(patch, rng, blur, most_px)


def cut_out(patch: Patch, rng: Generator, most: float = 0.2) -> Patch:
    """A rectangle of one gray value, up to this part of each side: the network must guess what lies under dirt."""
    made = patch.copy()
    sizes = [max(1, int(n * rng.uniform(0.3, 1) * most)) for n in patch.shape]
    corner = [int(rng.integers(0, n - size + 1)) for n, size in zip(patch.shape, sizes, strict=True)]
    made[tuple(slice(k, k + size) for k, size in zip(corner, sizes, strict=True))] = rng.normal()
    return made


def missing_section(patch: Patch, rng: Generator) -> Patch:
    """One section of a volume is of one gray value."""
    made = patch.copy()
    made[int(rng.integers(0, len(patch)))] = rng.normal()
    return made


def _some_sections(patch: Patch, rng: Generator, blur: Callable[[Patch, float], Patch], most: float) -> Patch:
    """A section alone (y, x) as it is; of a volume all sections, or one."""
    strength = rng.uniform(0.3 * most, most)
    if patch.ndim == 2:
        return _same(blur(patch[None], strength)[0])
    made = patch.copy()
    z = int(rng.integers(0, len(patch)))
    part = slice(z, z + 1) if rng.random() < 0.5 else slice(None)
    made[part] = blur(made[part], strength)
    return made


def _same(patch: NDArray[np.floating[Any]]) -> Patch:
    return patch.astype(np.float32)
