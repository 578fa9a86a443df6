"""What a tool paints: masks of pixels of one section, (y, x). Where membranes are predicted, tools can keep to one side of them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.membrane.targets import MEMBRANE, Mask

Tool = Literal["brush", "within", "fill", "erase"]
TOOLS: tuple[Tool, ...] = ("brush", "within", "fill", "erase")


def brushed(points: Sequence[Sequence[float]], radius: float, shape: tuple[int, int]) -> tuple[Mask, tuple[int, int]]:
    """What a brush covers that is drawn through these points (y, x), and the first pixel (y, x) of that mask in the section.

    A pixel is covered if its middle is no further than `radius` from a pixel of the line.
    """
    from scipy import ndimage
    from skimage.draw import line

    path = np.rint(np.asarray(points, float)).astype(int)
    rim = int(np.ceil(radius))
    low = np.clip(path.min(0) - rim, 0, shape)
    high = np.clip(path.max(0) + rim + 1, 0, shape)
    drawn = np.zeros(path.max(0) - path.min(0) + 2 * rim + 1, bool)
    moved = path - path.min(0) + rim
    drawn[tuple(moved[0])] = True
    for (y, x), (v, u) in zip(moved, moved[1:], strict=False):
        drawn[line(y, x, v, u)] = True
    covered = ndimage.distance_transform_edt(~drawn) <= radius
    first = path.min(0) - rim  # of the mask; it may lie outside the section
    cut = tuple(slice(max(a - b, 0), max(c - b, 0)) for a, b, c in zip(low, first, high, strict=True))
    return covered[cut], (int(low[0]), int(low[1]))


def side_of(probability: NDArray[Any], value: int, threshold: float) -> Mask:
    """Where this class may be painted: membrane where its probability is at least the threshold, interior where it is less."""
    found: Mask = probability >= threshold if value == MEMBRANE else probability < threshold
    return found


def flooded(allowed: Mask, point: tuple[int, int]) -> Mask:
    """The part of what is allowed that holds this point, connected along edges; nothing where the point is not allowed."""
    from skimage.segmentation import flood

    if not allowed[point]:
        return np.zeros_like(allowed)
    found: Mask = flood(allowed, point, connectivity=1)
    return found
