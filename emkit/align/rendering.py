"""Pixels of a section seen through an affine: any window of the output from only the part of the section that it shows.

Axes (y, x), px; output pixel p shows the section at ``affine.apply(p)``. What lies outside the section is 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align.placement import corners
from emkit.align.resampling import Spline
from emkit.transforms import Affine

Interpolation = Literal["cubic", "linear"]
MARGIN_PX = {"cubic": 16, "linear": 2}  # a cubic spline forgets what is n px away as 0.27^n


def render_window(
    section: NDArray[Any],
    affine: Affine,
    start: tuple[int, int],
    shape: tuple[int, int],
    interpolation: Interpolation = "cubic",
) -> NDArray[Any]:
    """(y, x) pixels of ``shape`` from output pixel ``start`` on, in the dtype of the section.

    Windows of one output fit together without seams. Integers are rounded and held within their range.
    """
    low, high = part_shown(section.shape, affine, start, shape, MARGIN_PX[interpolation])
    if (high - low < 2).any():
        return np.zeros(shape, section.dtype)
    part = section[low[0] : high[0], low[1] : high[1]].astype(np.float32)
    if interpolation == "cubic":
        seen = Spline.of(part).seen_through(Affine.translation(*-low).compose(affine), start, shape)
    else:
        seen = ndimage.affine_transform(part, affine.linear, affine.apply(start) - low, output_shape=shape, order=1)
    if np.issubdtype(section.dtype, np.integer):
        limits = np.iinfo(section.dtype)
        seen = np.clip(np.rint(seen), limits.min, limits.max)
    pixels: NDArray[Any] = seen.astype(section.dtype)
    return pixels


def part_shown(
    section: tuple[int, ...], affine: Affine, start: tuple[int, int], shape: tuple[int, int], margin_px: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The box (y, x) from, to of a section of this shape that a window shows, with a margin, within the section."""
    shown = affine.apply(corners(shape) + start)
    low = np.clip(np.floor(shown.min(axis=0)).astype(np.intp) - margin_px, 0, section)
    high = np.clip(np.ceil(shown.max(axis=0)).astype(np.intp) + margin_px + 1, 0, section)
    return low, high
