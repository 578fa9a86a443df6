"""Pixels of a section seen through a map: any window of the output from only the part of the section that it shows.

Axes (y, x), px; output pixel p shows the section at ``mapping(p)``. What lies outside the section is 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.align.correlation import shrink
from emkit.align.resampling import Spline, nodes_of, places_between
from emkit.transforms import CoordinateMap, Floats

Interpolation = Literal["cubic", "linear", "nearest"]
MARGIN_PX = {"cubic": 16, "linear": 2, "nearest": 1}  # a cubic spline forgets what is n px away as 0.27^n


def render_window(
    section: NDArray[Any],
    mapping: CoordinateMap,
    start: tuple[int, int],
    shape: tuple[int, int],
    interpolation: Interpolation = "cubic",
    shrunk: int = 1,
) -> NDArray[Any]:
    """(y, x) pixels of ``shape`` from output pixel ``start`` on, in the dtype of the section.

    Windows of one output fit together without seams. Integers are rounded and held within their range; "nearest" gives values
    of the section only, as labels need. The output may be ``shrunk``; the map is that of full px.
    """
    nodes, step = nodes_of(mapping, (start[0] * shrunk, start[1] * shrunk), shape, shrunk)
    low, high = part_shown((section.shape[0] // shrunk, section.shape[1] // shrunk), nodes, MARGIN_PX[interpolation])
    if (high - low < 2).any():
        return np.zeros(shape, section.dtype)
    nodes -= low
    part = section[low[0] * shrunk : high[0] * shrunk, low[1] * shrunk : high[1] * shrunk]
    if interpolation == "nearest":  # of a block the pixel near its middle
        return _nearest(part[shrunk // 2 :: shrunk, shrunk // 2 :: shrunk], places_between(nodes, step, shape))
    part = shrink(part.astype(np.float32), shrunk) if shrunk > 1 else part
    if interpolation == "cubic":
        return Spline.of(part).rendered_at(nodes, step, shape, section.dtype)
    seen = ndimage.map_coordinates(part, places_between(nodes, step, shape), order=1)
    pixels: NDArray[Any] = (np.rint(seen) if section.dtype.kind in "iu" else seen).astype(section.dtype)
    return pixels


def part_shown(section: tuple[int, ...], nodes: Floats, margin_px: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The box (y, x) from, to of a section of this shape that lies between ``nodes``, with a margin, within the section."""
    least, most = ([float(extreme(nodes[..., axis])) for axis in (0, 1)] for extreme in (np.min, np.max))
    low = np.clip(np.floor(least).astype(np.intp) - margin_px, 0, section)
    high = np.clip(np.ceil(most).astype(np.intp) + margin_px + 1, 0, section)
    return low, high


def _nearest(part: NDArray[Any], places: Floats) -> NDArray[Any]:
    y, x = np.rint(places).astype(np.intp)
    inside = (y >= 0) & (x >= 0) & (y < part.shape[0]) & (x < part.shape[1])
    pixels = np.zeros(inside.shape, part.dtype)
    pixels[inside] = part[y[inside], x[inside]]
    return pixels
