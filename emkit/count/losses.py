"""How many electrons a count misses because they lie on each other.

Two electrons whose peaks touch are counted as one. With a density of `n` electrons per pixel and an area `A` that one electron
takes for itself, as many peaks are seen as there would be of non-overlapping ones: seen = (1 - exp(-n A)) / A. Solved for n, that
is the true density, pixel by pixel, since beams are not even. A = 10 px was measured with 0.4 px of charge sharing; the
formula then agrees with simulated truth within a tenth of the loss from 0.06 % to 5 % occupancy.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from emkit.model import CountedScan

AREA_PX = 10.0
ENOUGH = 100


@dataclass(frozen=True)
class Coincidence:
    """Electrons counted and estimated, and the part that is missing."""

    counted: int
    estimated: float
    lost: float

    def __str__(self) -> str:
        return f"{self.counted:,} electrons; {self.lost:.1%} more were probably lost to others on the same place"


def estimate_coincidence(scan: CountedScan, area_px: float = AREA_PX) -> Coincidence:
    """The electrons that were lost in a scan, from how dense they are at each pixel of the detector."""
    return coincidence_of(scan.sum("scan"), len(scan), area_px)


def coincidence_of(image: NDArray[np.int64], frames: int, area_px: float = AREA_PX) -> Coincidence:
    """The same, of a scan too large for memory: from the electrons at each pixel of the detector, (ky, kx), over all frames."""
    events = int(image.sum())
    if not events:
        return Coincidence(0, 0.0, 0.0)
    side = sqrt(ENOUGH * image.size / events)  # windows that hold enough electrons to tell a density
    seen = uniform_filter(image / frames, max(3, min(round(side), min(image.shape) // 4)), mode="nearest")
    most = 0.95 / area_px  # denser than that, nothing can be told any more
    true = -np.log1p(-np.minimum(seen, most) * area_px) / area_px
    ratio = float(true.sum() / seen.sum())
    return Coincidence(events, events * ratio, 1 - 1 / ratio)
