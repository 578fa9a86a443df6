"""References of a detector: what it reads without a beam, and how each pixel answers to an even one. Axis order is (ky, kx)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.count.counting import rows_of
from emkit.errors import DataError

CLIP_SIGMAS = 4.0
BAD_SIGMAS = 8.0


@dataclass(frozen=True)
class Reference:
    """`mean` and `noise` of each pixel over the frames (robust: what is far off is left out), and which pixels are `bad`."""

    mean: NDArray[np.float32]
    noise: NDArray[np.float32]
    bad: NDArray[np.bool_]
    frames: int

    def __str__(self) -> str:
        kept = self.mean[~self.bad]
        return (
            f"{self.frames} frames of {self.mean.shape[0]} x {self.mean.shape[1]} px: {kept.mean():.2f} ± "
            f"{self.noise[~self.bad].mean():.2f} ADU; {int(self.bad.sum())} bad pixels"
        )


def build_reference(frames: NDArray[Any]) -> Reference:
    """The dark reference from frames without a beam.

    Per pixel the mean after values further than 4 standard deviations from the median are left out twice, so that stray
    electrons and X-rays do not count. A pixel is bad if its mean or noise is an outlier of its detector (8 robust sigmas), or it
    never changes while others do. Raises DataError for fewer than two frames.
    """
    rows = rows_of(frames)
    if len(rows) < 2:
        raise DataError(f"frames: found {len(rows)}; a reference needs two at least, a hundred for a good one.")
    values = rows.astype(np.float32)
    middle, spread = np.median(values, axis=0), _robust_sigma(values)
    for _ in range(2):
        kept = np.abs(values - middle) <= CLIP_SIGMAS * np.maximum(spread, 0.5)
        count = kept.sum(0)
        middle = np.where(kept, values, 0).sum(0) / count
        spread = np.sqrt(np.where(kept, (values - middle) ** 2, 0).sum(0) / count)
    bad = _outliers(middle) | _outliers(spread)
    if np.median(spread) > 0:
        bad |= spread == 0
    return Reference(middle.astype(np.float32), spread.astype(np.float32), bad, len(rows))


def build_gain(frames: NDArray[Any], dark: NDArray[Any]) -> NDArray[np.float32]:
    """The response of each pixel relative to the mean, from evenly lit frames; 1 where it cannot be told."""
    lit = build_reference(frames).mean - dark
    typical = float(np.median(lit))
    if typical <= 0:
        raise DataError("frames: they are not brighter than the dark reference; needed frames of an even beam.")
    response = lit / typical
    return np.where(response > 0.05, response, 1).astype(np.float32)


def correct_rows(frames: NDArray[Any], noise_mean: float, background: float) -> NDArray[np.float32]:
    """Frames whose half rows are scaled so that their noise has the mean that was fitted to all: `v * noise_mean / half-row mean`.

    The mean of a half row is that of its pixels at or below the background, so that electrons do not count as its offset.
    """
    rows = rows_of(frames).astype(np.float32)
    half = rows.shape[2] // 2
    for part in (slice(0, half), slice(half, None)):
        v = rows[:, :, part]
        quiet = v <= background
        count = quiet.sum(2, keepdims=True)
        mean = np.where(quiet, v, 0).sum(2, keepdims=True) / np.maximum(count, 1)
        rows[:, :, part] *= np.where((count > 0) & (mean > 0), noise_mean / np.where(mean > 0, mean, 1), 1)
    return rows


def _robust_sigma(values: NDArray[Any], axis: int | None = 0) -> Any:
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=axis)), axis=axis)


def _outliers(image: NDArray[Any]) -> NDArray[np.bool_]:
    sigma = max(float(_robust_sigma(image, None)), 1e-3)
    return np.asarray(np.abs(image - np.median(image)) > BAD_SIGMAS * sigma)
