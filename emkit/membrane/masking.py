"""Masks of what is no cell, from the probability of it: vessels, cell bodies. Axis order is (z, y, x).

The mask ends where the probability falls most steeply: a watershed of its gradient, from where it is surely inside and surely not.
What is inside for nobody surely, such as specks, floods nothing and is left in.
"""

import numpy as np
from numpy.typing import NDArray

from emkit.membrane.regions import Bools, flood

SIGMA_PX = 1.0  # of the smoothing before anything is looked at
SURE = 0.75  # smoothed probability from which a voxel is inside; it is outside up to one less this
HALO_PX = 16  # smoothing and gradient reach 9 px; what is unsure is rarely wider than the rest
OUTSIDE, INSIDE = 1, 2


def find_mask(probability: NDArray[np.float32]) -> Bools:
    """Where something is."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(probability, SIGMA_PX)
    seeds = np.where(smooth >= SURE, INSIDE, np.where(smooth <= 1 - SURE, OUTSIDE, 0)).astype(np.uint32)
    if not (seeds == INSIDE).any():
        return np.zeros(probability.shape, bool)
    steepness = ndimage.gaussian_gradient_magnitude(probability, SIGMA_PX)
    inside: Bools = flood(steepness, seeds) == INSIDE
    return inside
