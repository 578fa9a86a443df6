"""Drift: by how much a specimen has moved from image to image of one field, by whitened correlation (`correlation`).

Each image is compared with the first, so that errors do not add up, from where the one before it was found; once it has moved by
a quarter of the field, with the last one. What is found is taken back and compared again until the windows hold the same things:
the window's edge alone would pull every shift towards zero. Images and shifts are (y, x), px; NaN counts as the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align.correlation import correlate, find_peaks, taper
from emkit.errors import ParameterError
from emkit.transforms import Floats

LIMIT = 0.25  # cycles a px: images of some tens of px hold little else than noise above
SHARE = 0.5  # of each half axis that the window takes to fall
TIMES = 3
FAR = 0.25  # of the shorter side


@dataclass(frozen=True)
class Drift:
    """`moved` from the first image, px; `snr` of the match that told it (the first image's is infinite)."""

    moved: tuple[float, float]
    snr: float


def measure_drift(images: Sequence[NDArray[np.generic]]) -> tuple[Drift, ...]:
    """Where the specimen of each image is, against the first. ParameterError unless all have one shape of 8 px or more.

    >>> field = np.random.default_rng(1).normal(size=(64, 64))
    >>> smooth = ndimage.gaussian_filter(field, 3)
    >>> [tuple(round(d) for d in one.moved) for one in measure_drift([smooth[8:56, 8:56], smooth[6:54, 9:57]])]
    [(0, 0), (2, -1)]
    """
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or min(shape := shapes.pop()) < 8 or len(shape) != 2:
        found = ", ".join(map(str, sorted({image.shape for image in images})))
        raise ParameterError(f"images: found the shapes {found}; needed: (y, x) images of one shape, 8 px a side or more.")
    flat = [_flat(image) for image in images]
    reference, base = flat[0], np.zeros(2)
    drifts, moved = [Drift((0.0, 0.0), float("inf"))], np.zeros(2)
    for k in range(1, len(flat)):
        if np.abs(moved - base).max() > FAR * min(shape):
            reference, base = flat[k - 1], moved
        shift, snr = _shift(reference, flat[k], moved - base)
        moved = base + shift
        drifts.append(Drift((float(moved[0]), float(moved[1])), snr))
    return tuple(drifts)


def _flat(image: NDArray[np.generic]) -> Floats:
    """As parts of the mean, about 0: how bright a scan is tells nothing of where it is."""
    grey = image.astype(np.float64)
    mean = float(np.nanmean(grey)) if np.isfinite(grey).any() else 0.0
    return np.nan_to_num(grey, nan=mean) / (mean or 1.0) - 1


def _shift(fixed: Floats, moving: Floats, start: Floats) -> tuple[Floats, float]:
    window, shift, snr = taper((fixed.shape[0], fixed.shape[1]), SHARE), start, 0.0
    for _ in range(TIMES):
        back = ndimage.shift(moving, -shift, order=1, mode="nearest")
        first, second = (((image - image.mean()) * window).astype(np.float32)[None] for image in (fixed, back))
        (more,), (found,) = find_peaks(correlate(first, second, LIMIT))
        shift, snr = shift + more, float(found)
    return shift, snr
