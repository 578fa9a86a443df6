"""Objects from the probability of their inside: mitochondria, synapses, nuclei. Axis order is (z, y, x).

    inside    what is more probable than one half
    seeds     the inside where no contour is, and what of it is `THIN_PX` or further from that: a thin object is contour alone
    objects   the seeds that touch, each with what of the inside it reaches over the least probable contour

Where no contour is told, the seeds are all of the inside, and objects are what touches. Whether a voxel is a seed depends on
nothing further than `THIN_PX`; contours are narrower than the halo of blocks, so objects are the same for any blocks.
"""

from typing import Any

import numpy as np

from emkit.membrane.fragments import Geometry, Probability
from emkit.membrane.regions import Bools, Labels, flood

HALF = 0.5
THIN_PX = 8


def find_inside(probability: Probability, mask: Bools | None = None) -> Bools:
    """Where an object is, of what the mask keeps."""
    inside: Bools = probability >= HALF
    return inside if mask is None else inside & mask


def find_object_seeds(inside: Bools, contour: Probability | None, geometry: Geometry) -> Bools:
    """Where objects begin."""
    if contour is None:
        return inside
    from scipy import ndimage

    deep = inside & (contour < HALF)
    reach = 0 if geometry.flat else max(1, round(THIN_PX / geometry.anisotropy))
    seeds: Bools = deep | (inside & ~ndimage.maximum_filter(deep, (2 * reach + 1, 2 * THIN_PX + 1, 2 * THIN_PX + 1)))
    return seeds


def grow_objects(inside: Bools, contour: Probability | None, seeds: Labels, geometry: Geometry) -> Labels:
    """Each voxel of the inside gets the seed that reaches it; 0 outside."""
    if contour is None:
        return np.where(inside, seeds, np.uint32(0)).astype(np.uint32)
    if not geometry.flat:
        return flood(contour, seeds, inside)
    sections: Any = zip(contour, seeds, inside, strict=True)
    return np.stack([flood(*section) for section in sections])
