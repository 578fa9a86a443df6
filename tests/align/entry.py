"""emkit's alignment as the judge calls it (tests/judges/alignment_harness.py): points there are (x, y)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align import links, match_pair, measure_pairs, measure_quality, place_sections, solve_montage
from emkit.transforms import Affine


def pair(fixed: NDArray[np.uint8], moving: NDArray[np.uint8], level: str) -> NDArray[np.float64]:
    return _x_first(match_pair(fixed, moving).affine)


def stack(sections: NDArray[np.uint8], level: str) -> list[NDArray[np.float64]]:
    _, height, width = sections.shape
    placed = place_sections(len(sections), links(measure_pairs(sections)), (height, width))
    return [_x_first(affine) for affine in placed.affines]


def qc(sections: NDArray[np.uint8]) -> dict[str, Any]:
    table = measure_quality(sections)
    return {"score": table["score"].to_numpy(), "labels": table["defect"].tolist()}


def montage(tiles: list[NDArray[np.uint8]], nominal: NDArray[np.float64]) -> list[Any]:
    maps = solve_montage(tiles, nominal[:, ::-1])
    return [lambda points, m=m: m(points[:, ::-1])[:, ::-1] for m in maps]


def _x_first(affine: Affine) -> NDArray[np.float64]:
    return np.array(affine.rows)[::-1][:, [1, 0, 2]]
