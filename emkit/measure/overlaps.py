"""How many voxels each segment shares with each true object: all that scores of a segmentation are made of.

Tables of parts add up to that of the whole, so that a volume is scored block by block.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """`count[i]` voxels lie in the true object `truth[i]` and in the segment `segment[i]`, for each pair that occurs.

    Sorted by truth, then segment. 0 is unlabelled on either side, and kept.

    >>> Overlaps.of(np.array([1, 1, 2]), np.array([7, 7, 7])).count
    array([2, 1])
    """

    truth: Numbers
    segment: Numbers
    count: Numbers

    @classmethod
    def of(cls, segments: NDArray[Any], truth: NDArray[Any]) -> "Overlaps":
        """The table of two arrays of labels of one shape. Labels lie in runs, so that few pairs are sorted."""
        a, b = segments.reshape(-1), truth.reshape(-1)
        if not a.size:
            return cls._of(*(np.zeros(0, np.int64),) * 3)
        starts = np.flatnonzero(np.concatenate([[True], (a[1:] != a[:-1]) | (b[1:] != b[:-1])]))
        return cls._of(b[starts].astype(np.int64), a[starts].astype(np.int64), np.diff(starts, append=a.size))

    @classmethod
    def _of(cls, truth: Numbers, segment: Numbers, count: Numbers) -> "Overlaps":
        order = np.lexsort((segment, truth))
        truth, segment, count = truth[order], segment[order], count[order]
        if not len(truth):
            return cls(truth, segment, count)
        first = np.flatnonzero(np.concatenate([[True], (truth[1:] != truth[:-1]) | (segment[1:] != segment[:-1])]))
        return cls(truth[first], segment[first], np.add.reduceat(count, first))

    def renamed(self, names: Numbers) -> "Overlaps":
        """The table of the same voxels where each label, on both sides, goes by `names[label]`; several may get one name."""
        return self._of(names[self.truth], names[self.segment], self.count)

    def __add__(self, other: "Overlaps") -> "Overlaps":
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("truth", "segment", "count"))
        return self._of(*(np.concatenate(pair) for pair in pairs))

    @classmethod
    def sum(cls, tables: "list[Overlaps]") -> "Overlaps":
        """The table of all parts together."""
        return reduce(cls.__add__, tables)
