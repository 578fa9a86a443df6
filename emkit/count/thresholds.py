"""Where noise ends and electrons begin, estimated from some frames. ADU are units of the detector.

The procedure is stempy's, with signs kept: unit bins of v = raw - dark over a random sample of frames; a Gaussian is fitted to the
noise, which is most pixels (Levenberg-Marquardt); background = its mean + n sigma, xray = mean + m standard deviations of all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from emkit.count.counting import rows_of
from emkit.count.definition import corrected
from emkit.errors import DataError, ParameterError
from emkit.model import Sample, Thresholds

BINS = 2**20  # more unit bins than that are no detector's
MOST_CUT = 0.01  # X-rays are one pixel in thousands
COLUMNS, BARS = 40, " ▁▂▃▄▅▆▇█"  # of a histogram in a message


@dataclass(frozen=True)
class EstimatedThresholds(Thresholds):
    """Thresholds with what they come from: the histogram in unit bins from `first_adu` on (to twice the X-ray limit, to be
    plotted), and the Gaussian fitted to it."""

    first_adu: int
    histogram: tuple[int, ...]
    noise_mean: float
    noise_sigma: float
    noise_height: float
    cut: float  # of the pixels above the background, the part at or above the X-ray limit
    warning: str = ""

    def __str__(self) -> str:
        noise = f"noise {self.noise_mean:.2f} ± {self.noise_sigma:.2f} ADU"
        told = f"background {self.background:.2f}, X-ray limit {self.xray:.1f} ({noise})"
        return told + (f"\n{self.warning}" if self.warning else "")


def estimate_thresholds(
    frames: NDArray[Any],
    dark: NDArray[Any] | None = None,
    gain: NDArray[Any] | None = None,
    samples: int = 200,
    background_sigmas: float = 4.5,
    xray_sigmas: float = 175.0,
    seed: int = 0,
) -> EstimatedThresholds:
    """Thresholds from a random sample of frames.

    Parameters
    ----------
    frames, dark, gain
        As of `count_frames`.
    samples
        How many frames are looked at, at most.
    background_sigmas
        How far above the noise the background ends.
    xray_sigmas
        The X-ray limit is the mean of all + so many of their standard deviations. stempy's own default of 10 cuts real electrons.
    seed
        Same seed, same sample.

    Raises
    ------
    DataError
        No frames, frames without any noise to fit, or all alike.
    """
    if samples < 1:
        raise ParameterError(f"samples: found {samples}, needed 1 or more.")
    rows = rows_of(frames)
    if not len(rows):
        raise DataError("frames: found none; thresholds need one at least.")
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), min(samples, len(rows)), replace=False))
    sample = _Histogram()
    for k in chosen:
        sample.add(corrected(rows[k], dark, gain))
    histogram, first = sample.bins, sample.first
    if len(histogram) == 1:
        raise DataError(
            f"frames: all {sample.count} pixels looked at are {first}; the camera was blank. Check the file and the shutter."
        )
    xray = sample.mean + xray_sigmas * sample.spread
    height, centre, sigma = _fit_noise(histogram, first, whole=sample.whole)
    background = max(centre + background_sigmas * sigma, 0.0)
    cut, warning = sample.cut(background, xray), sample.warning(background, xray)
    shown = histogram[: max(1, int(2 * xray) - first)]
    told = Sample(
        frames=len(chosen),
        least=float(first),
        most=float(first + len(histogram) - 1),
        mean=sample.mean,
        spread=sample.spread,
        bins=len(histogram),
        background_sigmas=background_sigmas,
        xray_sigmas=xray_sigmas,
        noise_mean=centre,
        noise_sigma=sigma,
    )
    return EstimatedThresholds(
        background, max(xray, background + 1), first, tuple(map(int, shown)), centre, sigma, height, cut, warning, sample=told
    )


def check_thresholds(frames: NDArray[Any], thresholds: Thresholds, dark: NDArray[Any] | None = None) -> str:
    """What is wrong with thresholds that were given, by these frames (a sample of them); empty if nothing is."""
    sample = _Histogram()
    for frame in rows_of(frames):
        sample.add(corrected(frame, dark))
    if len(sample.bins) == 1:
        return f"All {sample.count} pixels looked at are {sample.first}: the camera was blank. Check the file and the shutter."
    return sample.warning(thresholds.background, thresholds.xray)


class _Histogram:
    """Unit bins of all pixels added, their mean and standard deviation."""

    def __init__(self) -> None:
        self.bins, self.first = np.zeros(1, np.int64), 0
        self.count, self.total, self.squares, self.whole = 0, 0.0, 0.0, True

    def add(self, v: NDArray[Any]) -> None:
        self.whole = v.dtype.kind == "i"
        levels = (v if self.whole else np.floor(v)).astype(np.int64).ravel()
        low, high = int(levels.min()), int(levels.max())
        first = low if not self.count else min(low, self.first)
        last = high if not self.count else max(high, self.first + len(self.bins) - 1)
        if last - first >= BINS:
            raise DataError(f"frames: values go from {first} to {last}; needed a detector of at most {BINS} levels.")
        grown = np.bincount(levels - first, minlength=last - first + 1)
        if self.count:
            grown[self.first - first : self.first - first + len(self.bins)] += self.bins
        self.bins, self.first = grown, first
        self.count += v.size
        self.total += float(v.sum(dtype=np.float64))
        self.squares += float(np.square(v, dtype=np.float64).sum())

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def spread(self) -> float:
        return float(np.sqrt(max(self.squares / self.count - self.mean**2, 0.0)))

    def above(self, value: float) -> int:
        """Pixels above a value, to a unit."""
        return int(self.bins[max(0, int(min(np.floor(value), BINS)) + 1 - self.first) :].sum())

    def cut(self, background: float, xray: float) -> float:
        """Of the pixels above the background, the part at or above the X-ray limit."""
        return self.above(xray) / max(1, self.above(background))

    def warning(self, background: float, xray: float) -> str:
        """Of an X-ray limit that lies among the electrons; empty if it does not."""
        if (cut := self.cut(background, xray)) <= MOST_CUT:
            return ""
        return (
            f"The X-ray limit {xray:.1f} cuts away {cut:.1%} of all pixels above the background, electrons among them: "
            f"give a higher one (xray, or xray_sigmas). Pixels by their value:\n{self.picture(background, xray)}"
        )

    def picture(self, background: float, xray: float) -> str:
        """Pixels above the background by value, in one line of text: bins that grow as the values do, heights by logarithm."""
        edges = np.unique(np.geomspace(max(background, 1.0), max(self.first + len(self.bins), background + 2), COLUMNS + 1).round())
        counts = np.array([self.above(a) - self.above(b) for a, b in zip(edges[:-1], edges[1:], strict=True)])
        heights = np.log1p(counts) / max(1.0, float(np.log1p(counts).max()))
        drawn = [BARS[round(h * (len(BARS) - 1))] for h in heights]
        drawn.insert(int(np.searchsorted(edges, xray)), "|")
        return f"{edges[0]:.0f} ADU {''.join(drawn)} {edges[-1]:.0f} ADU, | is the X-ray limit"


def _fit_noise(histogram: NDArray[np.int64], first: int, *, whole: bool) -> tuple[float, float, float]:
    """Height, mean and sigma of the Gaussian; a whole number stands for itself, the floor of another for the half above."""
    centres = np.arange(len(histogram)) + first + (0.0 if whole else 0.5)
    top = int(histogram.argmax())
    half = np.flatnonzero(histogram >= histogram[top] / 2)
    start = (
        float(histogram[top]),
        float(centres[top]),
        max(0.5, float(half[-1] - half[0] + 1) / 2.355 if len(half) < 1000 else 1.0),
    )
    near = np.abs(centres - centres[top]) <= max(4.0, 6 * start[2])
    if np.count_nonzero(histogram[near]) < 3:  # noise of less than a level: nothing to fit
        return start
    try:
        (height, centre, sigma), _ = curve_fit(_gaussian, centres[near], histogram[near], start, maxfev=2000)
    except RuntimeError:
        raise DataError(
            "frames: the noise cannot be fitted by a Gaussian. Look at the histogram, and give thresholds yourself."
        ) from None
    return float(height), float(centre), abs(float(sigma))


def _gaussian(x: NDArray[np.float64], height: float, centre: float, sigma: float) -> NDArray[np.float64]:
    return np.asarray(height * np.exp(-0.5 * ((x - centre) / sigma) ** 2))
