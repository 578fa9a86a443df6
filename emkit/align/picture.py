"""What one section shows by itself: sharpness, contrast, stripes, stains and straight lines, each as one number.

Every statistic is of one image (y, x), independent of its mean brightness, and made so that tissue gives nearly the same value
from section to section: what stands out is told by comparison (`defects`). Greys are in units of ``spread``, half the range that
holds the middle 68 % of the pixels: one standard deviation of a normal distribution, which bright or dark stains do not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from emkit.align.correlation import Pixels, shrink, taper

PATCH_PX = 128
FINE, COARSE = (0.08, 0.16), (0.02, 0.05)  # cycles a px: what defocus takes first, and what it leaves
STRIP_PX = 64  # over which a line of the scan is straight, though the section was turned by a degree or two
LINES_PX = 80  # side to which a section is shrunk for the search of straight lines and stains
ANGLES = 60
FLANK = 0.075  # of the side: how far beside a line its surroundings are looked at; wider than a fold or a tear is broad
STANDS_OUT = 1.0  # spreads by which a point of a line differs from both its flanks
SMOOTH = 9  # shrunken px along a line over which its flanks are averaged: one dark body beside a fold does not break it
STAIN = 0.05  # of the side: scale of a stain


@dataclass(frozen=True)
class Picture:
    """Statistics of one section.

    ``sharpness``: log of the power of fine over coarse structure. ``spread``: log of the grey levels. ``saturated``: share of the
    pixels at the least or the greatest value. ``stripes``: correlation of rows over neighbouring strips, less that of columns.
    ``stain``: how far large areas lie from the median, spreads. ``dark_line``, ``bright_line``: the greatest share of any straight
    line across the section that is darker, or brighter, than what lies to both sides of it.
    """

    sharpness: float
    spread: float
    saturated: float
    stripes: float
    stain: float
    dark_line: float
    bright_line: float


def measure_picture(section: NDArray[np.generic]) -> Picture:
    """Statistics of a section (y, x). A constant one has sharpness 0, spread log(0.5), and nothing else."""
    grey = section.astype(np.float32)
    low, middle, high = (float(value) for value in np.percentile(grey, (16, 50, 84)))
    spread = max((high - low) / 2, 0.5)  # half a grey level: nothing finer is held
    least, greatest = _limits(section)
    saturated = float(((grey <= least) | (grey >= greatest)).mean())
    flat: Pixels = (grey - middle) / spread
    factor = max(1, round(max(grey.shape) / LINES_PX))
    small = shrink(flat, factor)
    dark, bright = measure_lines(small)
    return Picture(
        sharpness=measure_sharpness(grey),
        spread=float(np.log(spread)),
        saturated=saturated,
        stripes=measure_stripes(np.clip(flat, -3, 3)),
        stain=float(np.percentile(np.abs(ndimage.gaussian_filter(np.clip(small, -4, 4), STAIN * max(small.shape))), 99)),
        dark_line=dark,
        bright_line=bright,
    )


def _limits(section: NDArray[Any]) -> tuple[float, float]:
    if np.issubdtype(section.dtype, np.integer):
        info = np.iinfo(section.dtype)
        return float(info.min), float(info.max)
    return float(section.min()), float(section.max())


def measure_sharpness(grey: Pixels) -> float:
    """Log of fine over coarse power, in the median over patches, less the noise that the finest waves tell."""
    side = min(PATCH_PX, *grey.shape)
    starts = [np.unique(np.linspace(0, n - side, max(2, n // side)).astype(int)).tolist() for n in grey.shape]
    patches = np.stack([grey[y : y + side, x : x + side] for y in starts[0] for x in starts[1]])
    patches = (patches - patches.mean(axis=(1, 2), keepdims=True)) * taper((side, side), 0.7)
    power = np.abs(fft.rfft2(patches)) ** 2
    waves = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    noise, fine, coarse = (power[:, (waves >= low) & (waves < high)].mean(axis=1) for low, high in ((0.4, 0.5), FINE, COARSE))
    ratio = np.maximum(fine - noise, 1e-3 * noise + 1e-9) / np.maximum(coarse - noise, 1e-3 * noise + 1e-9)
    return float(np.log(np.median(ratio)))


def measure_stripes(flat: Pixels) -> float:
    """By how much more neighbouring strips agree in their rows than in their columns: lines of the scan, not tissue."""
    return _agreement(flat) - _agreement(flat.T)


def _agreement(image: NDArray[np.float32]) -> float:
    """Correlation of the row means of neighbouring strips, of waves of some 5 to 30 px."""
    count = image.shape[1] // STRIP_PX
    if count < 2:
        return 0.0
    rows = image[:, : count * STRIP_PX].reshape(image.shape[0], count, STRIP_PX).mean(axis=2)
    rows = ndimage.gaussian_filter1d(rows, 1, axis=0) - ndimage.gaussian_filter1d(rows, 6, axis=0)
    own = (rows**2).mean(axis=0)
    shared = (rows[:, 1:] * rows[:, :-1]).mean(axis=0)
    return float(np.median(shared / (np.sqrt(own[1:] * own[:-1]) + 1e-12)))


def measure_lines(small: Pixels) -> tuple[float, float]:
    """The greatest share of a straight line across a shrunken section that is darker, and brighter, than both its flanks."""
    height, width = small.shape
    reach = max(height, width) // 2
    flank = max(2, round(FLANK * max(height, width)))
    across = np.arange(-reach - flank, reach + flank + 1)
    along = np.arange(-reach, reach + 1)
    dark = bright = 0.0
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        y = (height - 1) / 2 + across[:, None] * np.cos(angle) + along * np.sin(angle)
        x = (width - 1) / 2 - across[:, None] * np.sin(angle) + along * np.cos(angle)
        held = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
        seen = ndimage.map_coordinates(small, [y, x], order=1, mode="nearest", output=np.float32)
        sides = ndimage.uniform_filter1d(seen, SMOOTH, axis=1)
        line, before, after = seen[flank:-flank], sides[: -2 * flank], sides[2 * flank :]
        inside = held[flank:-flank] & held[: -2 * flank] & held[2 * flank :]
        length = inside.sum(axis=1)
        long = length > 0.6 * min(height, width)
        if not long.any():
            continue
        darker = ((line < np.minimum(before, after) - STANDS_OUT) & inside).sum(axis=1)
        brighter = ((line > np.maximum(before, after) + STANDS_OUT) & inside).sum(axis=1)
        dark = max(dark, float((darker[long] / length[long]).max()))
        bright = max(bright, float((brighter[long] / length[long]).max()))
    return dark, bright
