"""Scores of a membrane probability: pixel by pixel, and of the segments between its thinned lines. Sections are (y, x).

As ISBI 2012 judged it (Arganda-Carreras et al. 2015): the probability is cut at a threshold, the frame of the section added, lines
thinned to 1 px without changing their topology, and what lies between them are 4-connected segments. A voxel on a line counts as a
segment of its own. The best threshold is that of the whole stack. Sharp networks peak far below 0.1, so the scan begins at 0.01.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.measure.overlaps import Overlaps
from emkit.measure.partitions import partition_scores

THRESHOLDS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HALF = 0.5
Probability = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class PixelCounts:
    """Pixels that are rightly (`hits`) or wrongly (`false`) called membrane, and `missed` ones, at a threshold. They add up."""

    hits: int
    false: int
    missed: int
    pixels: int

    @classmethod
    def of(cls, probability: Probability, membrane: NDArray[np.bool_], threshold: float) -> "PixelCounts":
        found = probability >= threshold
        hits = int(np.count_nonzero(found & membrane))
        return cls(hits, int(np.count_nonzero(found)) - hits, int(np.count_nonzero(membrane)) - hits, probability.size)

    def __add__(self, other: "PixelCounts") -> "PixelCounts":
        return PixelCounts(self.hits + other.hits, self.false + other.false, self.missed + other.missed, self.pixels + other.pixels)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(1, 2 * self.hits + self.false + self.missed)

    @property
    def iou(self) -> float:
        return self.hits / max(1, self.hits + self.false + self.missed)

    @property
    def error(self) -> float:
        return (self.false + self.missed) / self.pixels


def thinned_segments(probability: NDArray[Any], threshold: float) -> Labels:
    """What lies between the thinned lines of a section, 1 to n; 0 on the lines."""
    from scipy import ndimage
    from skimage.morphology import skeletonize

    framed = np.pad(probability >= threshold, 1, constant_values=True)  # the frame parts cells that touch the edge
    labels: Labels = ndimage.label(~skeletonize(framed)[1:-1, 1:-1])[0].astype(np.int64)
    return labels


def components(interior: NDArray[np.bool_]) -> Labels:
    """Cells from a mask of their insides: components that touch along faces, 1 to n."""
    from scipy import ndimage

    labels: Labels = ndimage.label(interior)[0].astype(np.int64)
    return labels


def grown(segments: Labels, probability: NDArray[Any]) -> Labels:
    """The segments, grown over the lines between them by watershed."""
    from skimage.segmentation import watershed

    labels: Labels = watershed(probability, segments).astype(np.int64) if segments.any() else segments
    return labels


def line_scores(probability: NDArray[Any], truth: Labels, thresholds: Sequence[float]) -> list[dict[str, float] | None]:
    """V-Rand and V-Info of a section at each threshold; None where the truth labels nothing."""
    tables = (Overlaps.of(thinned_segments(probability, threshold), truth) for threshold in thresholds)
    return [partition_scores(table, zero_is_segment=False) for table in tables]
