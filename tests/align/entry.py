"""emkit's alignment as the judge calls it (tests/judges/alignment_harness.py): points there are (x, y)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align import align_pair, align_stack, measure_quality, solve_montage
from emkit.align.alignment import Model
from emkit.transforms import CoordinateMap, Floats

XFirst = Callable[[Floats], Floats]


def pair(fixed: NDArray[np.uint8], moving: NDArray[np.uint8], level: Model) -> XFirst:
    return _x_first(align_pair(fixed, moving, level))


def stack(sections: NDArray[np.uint8], level: Model) -> list[XFirst]:
    return [_x_first(one) for one in align_stack(sections, level)]


def qc(sections: NDArray[np.uint8]) -> dict[str, Any]:
    table = measure_quality(sections)
    return {"score": table["score"].to_numpy(), "labels": table["defect"].tolist()}


def montage(tiles: list[NDArray[np.uint8]], nominal: Floats) -> list[XFirst]:
    return [_x_first(one) for one in solve_montage(tiles, nominal[:, ::-1])]


def _x_first(mapping: CoordinateMap) -> XFirst:
    return lambda points: mapping(points[:, ::-1])[:, ::-1]
