"""The quality of one section, as a microscopist asks for it while the next one is cut: noise, contrast, saturation, focus.

With I the pixels, σ the standard deviation of their noise, G the image smoothed by a Gaussian of 1 px:

    noise       σ = √(π/2) · mean |I * N|, N = [1 -2 1; -2 4 -2; 1 -2 1] / 6, which no straight edge or ramp answers
                (Immerkær, Computer Vision and Image Understanding 64, 1996)
    SNR         √(var I - σ²) / σ
    contrast    the 1st to the 99th percentile, as a part of the range of the pixel type (of floats: of the image)
    saturated   the part of the pixels that are at an end of the range of the pixel type (of floats: none)
    sharpness   √(mean |∇G|² / var G), both less what noise of σ gives them: 1/px, about the inverse of the width of an edge

Pixels are (y, x). Laws, held as tests: none depends on a turn by 90° or on a mirroring; SNR and sharpness do not depend on
brightness or gain; more noise lowers the SNR; a blurred image is less sharp.
"""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BAND_ROWS = 256  # so many rows at a time, so that memory does not grow with the image
MARGIN = 5  # rows that the filters see beyond a band
SMOOTHING_PX = 1.0
LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6


@dataclass(frozen=True)
class SectionQuality:
    """See the definitions above; `snr` is None where there is no noise at all, `sharpness` 0 where there is no signal."""

    height_px: int
    width_px: int
    dtype: str
    mean: float
    noise: float
    snr: float | None
    contrast: float
    saturated: float
    sharpness: float

    def __str__(self) -> str:
        snr = "no noise" if self.snr is None else f"SNR {self.snr:.2f}"
        told = f"{self.height_px} x {self.width_px} px, {self.dtype}: {snr}, contrast {self.contrast:.1%}"
        return f"{told}, saturated {self.saturated:.2%}, sharpness {self.sharpness:.3f}/px"


def measure_quality(pixels: NDArray[Any]) -> SectionQuality:
    """The quality of an image (y, x) of at least 3 x 3 px.

    >>> measure_quality(np.zeros((64, 64), np.uint8)).saturated
    1.0
    """
    height, width = pixels.shape
    low, high = _range(pixels)
    least, greatest = np.percentile(pixels, (1, 99))
    mean, variance, at_end = _levels(pixels, low, high)
    noise, smooth, gradient = _filtered(pixels)
    # what white noise leaves behind a Gaussian of s px: var σ²/4πs², mean |∇|² σ²/4πs⁴
    left = noise**2 / (4 * pi * SMOOTHING_PX**2)
    signal, edges = max(0.0, smooth - left), max(0.0, gradient - left / SMOOTHING_PX**2)
    return SectionQuality(
        height, width, pixels.dtype.name, mean, noise,
        sqrt(max(0.0, variance - noise**2)) / noise if noise else None,
        float(greatest - least) / (high - low) if high > low else 0.0,
        at_end if pixels.dtype.kind in "iu" else 0.0, sqrt(edges / signal) if signal > 0 else 0.0,
    )  # fmt: skip


def _range(pixels: NDArray[Any]) -> tuple[float, float]:
    if pixels.dtype.kind in "iu":
        info = np.iinfo(pixels.dtype)
        return float(info.min), float(info.max)
    return float(pixels.min()), float(pixels.max())


def _levels(pixels: NDArray[Any], low: float, high: float) -> tuple[float, float, float]:
    """Mean and variance, and the part of the pixels at either of two values; in bands of rows."""
    zero = float(pixels.flat[0])  # sums of squares about a value of the image, so that a bright one loses no digits
    total = squares = ends = 0.0
    for first in range(0, len(pixels), BAND_ROWS):
        band = pixels[first : first + BAND_ROWS]
        ends += np.count_nonzero((band == low) | (band == high))
        apart = band.astype(np.float64) - zero
        total += float(apart.sum())
        squares += float(np.square(apart).sum())
    mean = total / pixels.size
    return zero + mean, max(0.0, squares / pixels.size - mean**2), ends / pixels.size


def _filtered(pixels: NDArray[Any]) -> tuple[float, float, float]:
    """The standard deviation of the noise; variance and mean squared gradient of the smoothed image; in bands of rows."""
    height, width = pixels.shape
    zero = float(pixels.flat[0])
    answers = total = squares = slopes = 0.0
    for first in range(0, height, BAND_ROWS):
        above, last = max(0, first - MARGIN), min(height, first + BAND_ROWS)
        band = pixels[above : last + MARGIN].astype(np.float32) - np.float32(zero)
        inner = slice(first - above, last - above)
        noise = np.abs(ndimage.convolve(band, LAPLACIANS, mode="mirror"))[inner]
        # the outermost rows and columns have no whole neighbourhood
        top, bottom = int(first == 0), len(noise) - int(last == height)
        answers += float(noise[top:bottom, 1:-1].sum(dtype=np.float64))
        smooth = ndimage.gaussian_filter(band, SMOOTHING_PX, truncate=4.0, mode="mirror")
        slope_y, slope_x = np.gradient(smooth)
        slopes += float((slope_y[inner] ** 2 + slope_x[inner] ** 2).sum(dtype=np.float64))
        total += float(smooth[inner].sum(dtype=np.float64))
        squares += float(np.square(smooth[inner], dtype=np.float64).sum())
    count = pixels.size
    noise_sd = sqrt(pi / 2) * answers / max(1, (height - 2) * (width - 2))
    return noise_sd, max(0.0, squares / count - (total / count) ** 2), slopes / count
