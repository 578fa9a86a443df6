"""The match signal: where two images agree, as a whitened cross-correlation.

For images a (fixed) and b (moving) of one shape the picture at shift d is high where ``b(p + d) ≈ a(p)``. It is the inverse
Fourier transform of ``conj(A) B |A B|^-w``: with w = 0 plain correlation, which low frequencies rule; with w = 1 phase
correlation (Kuglin & Hines 1975), which noise rules; w between (Wetzel et al. 2016, SWiFT-IR) weighs both. A band limit
leaves out what adjacent sections do not share. The zero shift is at index ``n // 2`` of each axis.

SNR is the height of the peak over the mean of its picture, in standard deviations of the picture. It grows with the window,
so it is judged against a threshold for its window (`quality`). Images and shifts are (y, x), px.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from emkit.errors import ParameterError
from emkit.transforms import Floats

Pixels = NDArray[np.float32]

WHITENING = 0.5  # a flat optimum between 0.35 and 0.65 on sections of nerve cord
BAND_LIMIT = 0.16  # cycles a px of the images as given; adjacent 50 nm sections share little above
TINY = 1e-6  # keeps a frequency that neither image has from being divided by 0
BLOCK_PX, LOCAL_BLOCKS = 8, 5  # "local" contrast is that of some 40 px about: a few neurites


def normalise(image: NDArray[np.generic]) -> Pixels:
    """(y, x) float32 of local mean 0 and local contrast about 1: uneven light, stain and bright dirt lose their say.

    Pixels of value 0 are no data, as beyond the edge of an aligned section: they are 0 here too, and their neighbours do
    not feel them. A constant image gives zeros.
    """
    held = image != 0
    grey = image.astype(np.float32)
    largest = max(float(grey.max()), -float(grey.min()))
    # about the mean, so that the squares below keep their digits
    grey -= np.float32(grey.sum(dtype=float) / max(np.count_nonzero(held), 1))
    grey *= held
    share: Pixels = np.maximum(_local_mean(held), 1e-3)
    mean = _local_mean(grey) / share
    contrast: Pixels = np.sqrt(np.maximum(_local_mean(grey * grey) / share - mean * mean, 0))
    # a quarter of the usual contrast is a floor, so that empty resin is not blown up to look like tissue
    floor: np.float32 = np.float32(0.25 * np.average(contrast, weights=share))
    if floor <= 1e-5 * largest:
        return np.zeros_like(grey)
    grey -= spread_blocks(mean, grey.shape)
    grey *= held
    grey /= spread_blocks(contrast + floor, grey.shape)
    return grey


def _local_mean(grey: NDArray[Any]) -> Pixels:
    """Means about each block of `BLOCK_PX`²: two boxes of `LOCAL_BLOCKS`, near enough to a Gaussian."""
    once = ndimage.uniform_filter(shrink(grey, BLOCK_PX), LOCAL_BLOCKS, mode="reflect")
    twice: Pixels = ndimage.uniform_filter(once, LOCAL_BLOCKS, mode="reflect")
    return twice


def spread_blocks(blocks: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Values of blocks, interpolated linearly to the pixels of ``shape``."""
    for axis in (1, 0):  # the shorter array first
        count = blocks.shape[axis]
        at = np.clip((np.arange(shape[axis]) - (BLOCK_PX - 1) / 2) / BLOCK_PX, 0, count - 1)
        below = np.minimum(at.astype(int), max(count - 2, 0))
        share = (at - below).astype(np.float32)[:, None] if axis == 0 else (at - below).astype(np.float32)
        above = np.minimum(below + 1, count - 1)
        spread = np.take(blocks, above, axis)
        blocks = np.take(blocks, below, axis)
        spread -= blocks
        spread *= share
        spread += blocks
        blocks = spread
    return blocks


def shrink(image: NDArray[Any], factor: int) -> Pixels:
    """Means of blocks of ``factor``² px; what is left over at the far edges is left out."""
    if factor == 1:
        return image.astype(np.float32, copy=False)
    height, width = (n // factor * factor for n in image.shape)
    rows: Pixels = image[:height:factor, :width].astype(np.float32)  # sums of whole rows, then of what is left: as memory lies
    for k in range(1, factor):
        rows += image[k:height:factor, :width]
    result: Pixels = rows[:, ::factor].copy()
    for k in range(1, factor):
        result += rows[:, k::factor]
    result /= factor**2
    return result


@lru_cache(maxsize=32)
def taper(shape: tuple[int, int], share: float) -> Pixels:
    """(y, x) window: 1 inside, falling to 0 as a cosine over the outer ``share`` of each half axis."""
    edges = []
    for n in shape:
        outward = np.abs(np.arange(n) - (n - 1) / 2) / (n / 2)
        edges.append(0.5 + 0.5 * np.cos(np.pi * np.clip((outward - 1 + share) / share, 0, 1)))
    window: Pixels = np.outer(*edges).astype(np.float32)
    window.flags.writeable = False  # shared by everyone through the cache
    return window


@lru_cache(maxsize=32)
def band(shape: tuple[int, int], limit: float) -> Pixels:
    """(y, x // 2 + 1) weight of each frequency: without the slowest waves of the window, and soft above ``limit``."""
    slow = np.hypot(fft.fftfreq(shape[0])[:, None] * shape[0], fft.rfftfreq(shape[1]) * shape[1])  # waves a window
    fast = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1]))  # waves a px
    weight: Pixels = ((1 - np.exp(-((slow / 1.5) ** 2))) * np.exp(-((fast / limit) ** 4))).astype(np.float32)
    weight.flags.writeable = False
    return weight


def correlate(fixed: Pixels, moving: Pixels, limit: float = BAND_LIMIT, whitening: float = WHITENING) -> Pixels:
    """(k, y, x) windowed images of each kind to k match signals (k, y, x). `correlate_slowly` is the definition."""
    shape = (fixed.shape[-2], fixed.shape[-1])
    cross = fft.rfft2(moving) * fft.rfft2(fixed).conj()
    cross *= band(shape, limit) / (np.abs(cross) + TINY) ** whitening  # of ½ a root, quick
    signal = fft.fftshift(fft.irfft2(cross, s=shape), axes=(-2, -1))
    return np.asarray(signal, np.float32)


def correlate_slowly(fixed: Pixels, moving: Pixels, limit: float = BAND_LIMIT) -> Floats:
    """One match signal (y, x) by the definition in the module's head, term by term, with the whole complex transform."""
    height, width = fixed.shape
    ky = np.fft.fftfreq(height)[:, None]
    kx = np.fft.fftfreq(width)[None, :]
    whole_waves = np.sqrt((ky * height) ** 2 + (kx * width) ** 2)
    weight = (1 - np.exp(-((whole_waves / 1.5) ** 2))) * np.exp(-((np.sqrt(ky**2 + kx**2) / limit) ** 4))
    cross = np.conj(np.fft.fft2(fixed.astype(float))) * np.fft.fft2(moving.astype(float))
    signal = np.fft.ifft2(cross * (np.abs(cross) + TINY) ** -WHITENING * weight).real
    return np.roll(signal, (height // 2, width // 2), axis=(0, 1))


def without_pattern(signals: Pixels, shifts: Floats, radius: float) -> Pixels:
    """The signals (k, y, x) with their own mean within ``radius`` px of ``shifts`` (k, 2): a peak there is not believed.

    A pattern of the camera agrees where pixels are the same, whatever the sections show.
    """
    _, height, width = signals.shape
    rows, columns = np.arange(height) - height // 2, np.arange(width) - width // 2
    near = np.hypot(rows[:, None] - shifts[:, 0, None, None], columns - shifts[:, 1, None, None]) <= radius
    kept: Pixels = np.where(near, signals.mean(axis=(1, 2), keepdims=True), signals)
    return kept


def find_peaks(signals: Pixels, reach: float = np.inf) -> tuple[Floats, Floats]:
    """Of each of k signals the shift (k, 2) of its highest value within ``reach`` px of zero shift, and its SNR (k,).

    The shift is refined to a fraction of a px by the parabola that fits the 3 × 3 values about the peak best.
    """
    count, height, width = signals.shape
    seen = signals
    if np.isfinite(reach):
        far = np.hypot(np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2) > reach
        seen = np.where(far, -np.inf, signals)
    top = seen.reshape(count, -1).argmax(axis=1)
    each, rows, columns = np.arange(count), top // width, top % width
    mean = signals.mean(axis=(1, 2))
    spread = np.sqrt(np.maximum(np.einsum("kyx,kyx->k", signals, signals) / (height * width) - mean**2, 0))
    snr = (signals[each, rows, columns] - mean) / np.where(spread > 0, spread, 1)

    inner_rows, inner_columns = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)
    about = np.array([[signals[each, inner_rows + dy, inner_columns + dx] for dx in (-1, 0, 1)] for dy in (-1, 0, 1)], float)
    slope_y, slope_x = (about[2] - about[0]).sum(axis=0) / 6, (about[:, 2] - about[:, 0]).sum(axis=0) / 6
    bend_yy = (about[2] - 2 * about[1] + about[0]).sum(axis=0) / 3
    bend_xx = (about[:, 2] - 2 * about[:, 1] + about[:, 0]).sum(axis=0) / 3
    bend_xy = (about[2, 2] - about[2, 0] - about[0, 2] + about[0, 0]) / 4
    det = bend_yy * bend_xx - bend_xy**2
    det = np.where(det > 1e-20, det, np.inf)  # not a summit: keep the whole pixel
    fine_y, fine_x = -(bend_xx * slope_y - bend_xy * slope_x) / det, -(bend_yy * slope_x - bend_xy * slope_y) / det
    fine = np.clip(np.stack([fine_y, fine_x], axis=1), -1, 1)
    whole = np.stack([inner_rows - height // 2, inner_columns - width // 2], axis=1)
    return whole + fine, snr.astype(float)


def match_signal(fixed: NDArray[np.generic], moving: NDArray[np.generic], *, at_most_px: int = 512) -> Pixels:
    """The match signal of two whole sections (y, x) as a picture, in standard deviations of itself.

    Sections larger than ``at_most_px`` are shrunk by a whole factor first. The middle (index ``n // 2`` of each axis) is zero
    shift: a bright point there says aligned, one elsewhere by how much the moving section lies off, none that they do not match.
    """
    if fixed.shape != moving.shape or fixed.ndim != 2:
        raise ParameterError(f"The sections have shapes {fixed.shape} and {moving.shape}; needed: one (y, x) shape for both.")
    factor = -(-max(fixed.shape) // at_most_px)
    small_fixed, small_moving = (shrink(normalise(image), factor) for image in (fixed, moving))
    window = taper((small_fixed.shape[0], small_fixed.shape[1]), 0.3)
    signal = correlate((small_fixed * window)[None], (small_moving * window)[None])[0]
    spread = float(signal.std())
    result: Pixels = (signal - signal.mean()) / spread if spread > 0 else np.zeros_like(signal)
    return result
