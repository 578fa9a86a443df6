"""What two raw sections share: how well they match, whether they are the same tissue, and where else one belongs.

Adjacent 50 nm sections share almost nothing finer than `SAME_BAND` (4.6 nm px), two images of one section nearly all of it: that
tells a repeat, which to every other statistic is the best of matches. Images are (y, x), points (y, x), px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from emkit.align.correlation import Pixels, correlate, find_peaks, normalise, shrink, taper
from emkit.align.pairs import FAN, coarse_scale, match_pair
from emkit.align.quality import Sections
from emkit.transforms import Affine

SAME_BAND = (0.16, 0.30)  # cycles a px
SAME_PX, SAME_ACROSS = 128, 5


@dataclass(frozen=True)
class Resemblance:
    """What two sections share: SNRs, residual and inliers as of `Match`.

    ``same`` is the correlation of what is too fine for neighbours to share: near 0 for these, towards 1 for a repeat.
    """

    snr: float
    whole_snr: float
    residual_px: float
    inliers: float
    same: float


def compare_sections(fixed: NDArray[np.generic], moving: NDArray[np.generic]) -> Resemblance:
    """What two sections (y, x) share, wherever they lie on each other."""
    match = match_pair(fixed, moving)
    same = 0.0 if match.failure else measure_same(fixed, moving, match.affine)
    return Resemblance(match.snr, match.whole_snr, match.residual_px, match.inliers, same)


def measure_same(fixed: NDArray[np.generic], moving: NDArray[np.generic], affine: Affine) -> float:
    """Correlation, within `SAME_BAND`, of patches that lie on each other by ``affine`` (fixed px → moving px); their median."""
    side = min(SAME_PX, *fixed.shape)
    window = taper((side, side), 0.5)
    waves = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    kept = (waves >= SAME_BAND[0]) & (waves < SAME_BAND[1])
    found = []
    for y in np.linspace(0, fixed.shape[0] - side, SAME_ACROSS).astype(int).tolist():
        for x in np.linspace(0, fixed.shape[1] - side, SAME_ACROSS).astype(int).tolist():
            still = fixed[y : y + side, x : x + side].astype(np.float32)
            low = np.floor(affine.apply([[y, x], [y + side, x + side]]).min(axis=0)).astype(int) - side // 2
            low = np.clip(low, 0, np.maximum(np.array(moving.shape) - 2 * side, 0))
            part = moving[low[0] : low[0] + 2 * side, low[1] : low[1] + 2 * side].astype(np.float32)
            start = affine.apply((y, x)) - low
            cut = ndimage.affine_transform(part, affine.linear, start, output_shape=(side, side), order=1, mode="nearest")
            first, second = (fft.rfft2((patch - patch.mean()) * window)[kept] for patch in (still, cut))
            power = float(np.sqrt((np.abs(first) ** 2).sum() * (np.abs(second) ** 2).sum()))
            found.append(float((first.conj() * second).real.sum()) / power if power > 0 else 0.0)
    return float(np.median(found))


def find_place(sections: Sections, z: int) -> tuple[int, float]:
    """The section that section ``z`` matches best as a whole, its neighbours left out, and that SNR; (-1, 0) if there is none."""
    turned = [ndimage.rotate(_small(sections, z), angle, reshape=False, order=1) for angle in FAN]
    window = taper((turned[0].shape[0], turned[0].shape[1]), 0.3)
    moving = np.stack(turned).astype(np.float32) * window
    best, best_snr = -1, 0.0
    for other in range(len(sections)):
        if abs(other - z) > 1:
            _, snr = find_peaks(correlate((_small(sections, other) * window)[None], moving))
            if snr.max() > best_snr:
                best, best_snr = other, float(snr.max())
    return best, best_snr


def _small(sections: Sections, z: int) -> Pixels:
    section = np.asarray(sections[z])
    return shrink(normalise(section), coarse_scale(section.shape))
