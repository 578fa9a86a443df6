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
from emkit.align.pairs import FAN, Match, coarse_scale, match_pair
from emkit.align.quality import Sections
from emkit.transforms import Affine

SAME_BAND = (0.16, 0.30)  # cycles a px
COARSE_BAND = (0.01, 0.08)  # cycles a px: what neighbours share
SAME_PX, SAME_ACROSS = 128, 5


@dataclass(frozen=True)
class Resemblance:
    """What two sections share: SNRs, residual and inliers as of `Match`.

    ``same`` is the correlation of what is too fine for neighbours to share: near 0 for these, towards 1 for a repeat. ``ncc`` is
    that of coarse structure, ``peak`` the height of the match signal of all patches together, in standard deviations of it.
    """

    snr: float
    whole_snr: float
    residual_px: float
    inliers: float
    same: float
    ncc: float = 0.0
    peak: float = 0.0


def compare_sections(fixed: NDArray[np.generic], moving: NDArray[np.generic]) -> Resemblance:
    """What two sections (y, x) share, wherever they lie on each other."""
    return resemblance(match_pair(fixed, moving), fixed, moving)


def resemblance(match: Match, fixed: NDArray[np.generic], moving: NDArray[np.generic]) -> Resemblance:
    """The same of two sections that were matched."""
    shared = (0.0, 0.0, 0.0) if match.failure else measure_shared(fixed, moving, match.affine)
    return Resemblance(match.snr, match.whole_snr, match.residual_px, match.inliers, *shared)


def measure_shared(fixed: NDArray[np.generic], moving: NDArray[np.generic], affine: Affine) -> tuple[float, float, float]:
    """``same``, ``ncc`` and ``peak`` of patches that lie on each other by ``affine`` (fixed px → moving px)."""
    side = min(SAME_PX, *fixed.shape)
    window = taper((side, side), 0.5)
    still, other = [], []
    for y in np.linspace(0, fixed.shape[0] - side, SAME_ACROSS).astype(int).tolist():
        for x in np.linspace(0, fixed.shape[1] - side, SAME_ACROSS).astype(int).tolist():
            still.append(fixed[y : y + side, x : x + side].astype(np.float32))
            low = np.floor(affine.apply([[y, x], [y + side, x + side]]).min(axis=0)).astype(int) - side // 2
            low = np.clip(low, 0, np.maximum(np.array(moving.shape) - 2 * side, 0))
            part = moving[low[0] : low[0] + 2 * side, low[1] : low[1] + 2 * side].astype(np.float32)
            start = affine.apply((y, x)) - low
            other.append(ndimage.affine_transform(part, affine.linear, start, output_shape=(side, side), order=1, mode="nearest"))
    first, second = (np.stack(patches) for patches in (still, other))
    first, second = ((patches - patches.mean(axis=(1, 2), keepdims=True)) * window for patches in (first, second))
    signal = correlate(first, second).mean(axis=0)
    spread = float(signal.std())
    waves = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    first, second = fft.rfft2(first), fft.rfft2(second)
    same, ncc = (_correlation(first, second, (waves >= low) & (waves < high)) for low, high in (SAME_BAND, COARSE_BAND))
    return same, ncc, float(signal.max() - signal.mean()) / spread if spread > 0 else 0.0


def _correlation(first: NDArray[np.complexfloating], second: NDArray[np.complexfloating], kept: NDArray[np.bool_]) -> float:
    """Of the waves that are kept of each of k patches (k, y, x): the median."""
    a, b = first[:, kept], second[:, kept]
    power = np.sqrt((np.abs(a) ** 2).sum(axis=1) * (np.abs(b) ** 2).sum(axis=1))
    return float(np.median((a.conj() * b).real.sum(axis=1) / np.maximum(power, 1e-12)))


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
