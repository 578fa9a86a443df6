"""References of a detector: what it reads without a beam, and how each pixel answers to an even one. Axis order is (ky, kx)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.count.counting import rows_of
from emkit.errors import DataError, ParameterError

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


def correct_rows(frames: NDArray[Any], level_adu: float, by: Literal["mean", "median"] = "mean") -> NDArray[Any]:
    """Frames whose half rows are brought to one level: `trunc(v * level / m)`, m the mean or the median of the half row.

    The offset of the amplifier of a half row drifts from frame to frame, and no dark reference knows it. The level is the mean of
    the noise, `estimate_thresholds(frames).noise_mean`. This comes before the dark reference, whose mean is then that of frames
    at this level. Half rows with m = 0 stay as they are. In float32, as stempy's row dark, which agrees pixel by pixel until a
    value does not fit: stempy's wraps, ours stays at the greatest number of its type. Same shape and type.

    >>> correct_rows(np.array([[[2, 4, 8, 4]]], np.uint16), 6.0).tolist()
    [[[4, 8, 8, 4]]]
    """
    if not (np.isfinite(level_adu) and level_adu > 0):
        raise ParameterError(f"level_adu: found {level_adu:g}, needed the mean of the noise, above 0.")
    rows = rows_of(frames)
    corrected, half = np.empty_like(rows), rows.shape[2] // 2
    least, most = np.float32(np.iinfo(rows.dtype).min), np.float32(np.iinfo(rows.dtype).max)
    if int(most) > np.iinfo(rows.dtype).max:
        most = np.nextafter(most, np.float32(0))
    for frame, found in zip(rows, corrected, strict=True):
        for part in (slice(0, half), slice(half, None)):
            v = frame[:, part].astype(np.float32)
            middle = (v.sum(1, dtype=np.float64) / max(1, v.shape[1]) if by == "mean" else _medians(v)).astype(np.float32)
            scale = np.divide(np.float32(level_adu), middle, out=np.ones_like(middle), where=middle > 0)
            found[:, part] = np.clip(v * scale[:, None], least, most)  # to whole numbers by truncation
    return corrected.reshape(frames.shape)


def _medians(v: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.median(v, axis=1)) if v.shape[1] else np.zeros(len(v), np.float32)


def _robust_sigma(values: NDArray[Any], axis: int | None = 0) -> Any:
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=axis)), axis=axis)


def _outliers(image: NDArray[Any]) -> NDArray[np.bool_]:
    sigma = max(float(_robust_sigma(image, None)), 1e-3)
    return np.asarray(np.abs(image - np.median(image)) > BAD_SIGMAS * sigma)
