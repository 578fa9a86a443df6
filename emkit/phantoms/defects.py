"""The nine defects, planted into synthetic sections: what damages a picture, and what disturbs the order of sections.

Images are (y, x) uint8; same generator, same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.model import Defect

Image = NDArray[np.uint8]
FOLD_HALF, TEAR_HALF = 0.018, 0.025  # of the side: half the width of the dark stripe, of the gap
MOVED = 0.04  # of the side by which the halves of a fold lie too near
LOST = 2  # sections that a gap leaves out
EXCHANGED = 4  # sections on stands the one with which one out of order has changed places


def depths_of(count: int, defects: Mapping[int, Defect]) -> tuple[int, ...]:
    """At which depth of the specimen each section lies: one after the other, but for repeats, gaps and exchanges."""
    depths, depth = [], 0
    for z in range(count):
        depth += LOST if defects.get(z) == "gap" else -1 if defects.get(z) == "duplicate" else 0
        depths.append(depth)
        depth += 1
    for z in range(count - EXCHANGED):
        if defects.get(z) == "out_of_order":
            depths[z], depths[z + EXCHANGED] = depths[z + EXCHANGED], depths[z]
    return tuple(depths)


def damage(image: Image, defect: Defect, draw: np.random.Generator) -> Image:
    """The image with what damages a picture; as it is where the defect is one of the order."""
    grey = image.astype(float)
    side = max(image.shape)
    if defect == "defocus":
        grey = ndimage.gaussian_filter(grey, 3.0)
    elif defect == "contrast":
        grey = 128 + (grey - 128) * 0.18 + draw.uniform(-50, 50) + draw.normal(0, 3, image.shape)
    elif defect == "charging":
        stripes = ndimage.gaussian_filter1d(draw.standard_normal(image.shape[0]), 2)
        grey += 70 * stripes[:, None]
        y, x = np.indices(image.shape)
        for _ in range(3):
            middle, size = draw.uniform(0.2, 0.8, 2) * image.shape, draw.uniform(0.07, 0.13) * side
            grey += draw.choice([-1, 1]) * 130 * np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * size**2))
    elif defect in ("fold", "tear"):
        turn = draw.uniform(0, np.pi)
        y, x = np.indices(image.shape, float)
        across = (
            (y - image.shape[0] / 2) * np.cos(turn) + (x - image.shape[1] / 2) * np.sin(turn) - draw.uniform(-0.05, 0.05) * side
        )
        if defect == "fold":  # what lay between the halves is hidden
            by = np.sign(across) * MOVED * side / 2
        else:  # nothing is there between them
            by = -np.sign(across) * np.minimum(np.abs(across), TEAR_HALF * side)
        grey = ndimage.map_coordinates(grey, [y + by * np.cos(turn), x + by * np.sin(turn)], order=1, mode="mirror")
        if defect == "fold":
            grey = np.where(np.abs(across) < FOLD_HALF * side, grey * 0.1, grey)
        else:
            grey = np.where(np.abs(across) < TEAR_HALF * side, 250 + draw.normal(0, 2, image.shape), grey)
    clipped: Image = np.clip(grey, 0, 255).astype(np.uint8)
    return clipped
