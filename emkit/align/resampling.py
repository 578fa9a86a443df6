"""Images seen through a map by cubic splines: in C where it was built with the package, else by scipy, which is the definition.

A `Spline` is an image made ready once, to be seen through any number of maps. Points are (y, x), px; what lies beyond the
middles of the outermost pixels is 0.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emkit.native import load_library
from emkit.transforms import Affine, CoordinateMap, Elastic, Floats

LIBRARY = Path(__file__).with_name("resample.so")
STEP_PX = 4  # between the points that a map is asked for; a bend of 1 px in 50 is off by less than 0.002 px between them
STRAIGHT_PX = 64  # of an affine any would be exact: short runs are seldom cut by an edge
NO_MEMORY = "the kernel found no memory for its own needs"
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Spline:
    """Coefficients (y, x), float32, of the cubic spline through an image that is mirrored at its edges."""

    coefficients: Pixels

    @classmethod
    def of(cls, image: NDArray[np.generic]) -> Spline:
        """Of an image (y, x), 2 px each way at least."""
        coefficients = np.array(image, np.float32, order="C")
        if not LIBRARY.is_file():
            return cls(ndimage.spline_filter(coefficients, 3, output=np.float32))
        if _library().spline(coefficients.ctypes.data, *coefficients.shape):
            raise MemoryError(NO_MEMORY)
        return cls(coefficients)

    def seen_through(self, mapping: CoordinateMap, start: tuple[int, int], shape: tuple[int, int]) -> Pixels:
        """(y, x) float32 of ``shape``: output pixel p, counted from ``start``, shows the image at ``mapping(p)``."""
        return self.seen_at(*nodes_of(mapping, start, shape), shape)

    def seen_at(self, nodes: Floats, step: int, shape: tuple[int, int]) -> Pixels:
        """The image at places that are given at every ``step``-th pixel of the output, (rows, columns, 2), and lie linearly
        between."""
        if not LIBRARY.is_file():
            return self._seen_by_scipy(nodes, step, shape)
        return self._sampled(nodes, np.empty(shape, np.float32), step)

    def rendered_at(self, nodes: Floats, step: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The same in a ``dtype``: integers are rounded, half to even, and held within their range."""
        if dtype in (np.uint8, np.uint16) and LIBRARY.is_file():
            return self._sampled(nodes, np.empty(shape, dtype.newbyteorder("=")), step)
        seen = self.seen_at(nodes, step, shape)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            np.clip(np.rint(seen, out=seen), limits.min, limits.max, out=seen)
        return seen.astype(dtype)

    def _sampled(self, nodes: Floats, seen: NDArray[Any], step: int) -> NDArray[Any]:
        nodes = np.ascontiguousarray(nodes, np.float64)
        held = self.coefficients
        told = (
            held.ctypes.data,
            *held.shape,
            nodes.ctypes.data,
            nodes.shape[1],
            step,
            seen.ctypes.data,
            *seen.shape,
            seen.itemsize,
        )
        _library().sample(*told)
        return seen

    def _seen_by_scipy(self, nodes: Floats, step: int, shape: tuple[int, int]) -> Pixels:
        """The definition, and what runs where no compiler was when emkit was installed."""
        places = places_between(nodes, step, shape)
        edges = [np.clip(place, 0, n - 1) for place, n in zip(places, self.coefficients.shape, strict=True)]
        held = [np.where(np.abs(place - edge) <= 1e-6, edge, place) for place, edge in zip(places, edges, strict=True)]
        seen: Pixels = ndimage.map_coordinates(self.coefficients, held, np.float32, order=3, prefilter=False)
        return seen


def nodes_of(mapping: CoordinateMap, start: tuple[int, int], shape: tuple[int, int], factor: int = 1) -> tuple[Floats, int]:
    """The map at every so many px of an output, (rows, columns, 2), and how many px that is.

    The output, of ``shape`` (y, x), and the image are shrunk by ``factor``; ``start`` is the output's first px before that.
    """
    step = STRAIGHT_PX if isinstance(mapping, Affine) else STEP_PX
    middle = (factor - 1) / 2
    rows, columns = (
        np.asarray(np.arange(-(-n // step) + 1) * (step * factor) + (begin + middle), np.float64)
        for n, begin in zip(shape, start, strict=True)
    )
    if isinstance(mapping, Elastic):
        nodes = mapping.on_grid(rows, columns)
    else:
        nodes = mapping(np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1))
    if factor > 1:
        nodes -= middle
        nodes /= factor
    return nodes, step


def places_between(nodes: Floats, step: int, shape: tuple[int, int]) -> Floats:
    """(2, rows, columns): the place of every pixel of an output of ``shape``, linearly between nodes."""
    at = np.meshgrid(*(np.arange(n) / step for n in shape), indexing="ij")
    return np.stack([ndimage.map_coordinates(nodes[..., axis], at, order=1) for axis in (0, 1)])


@cache
def _library() -> ctypes.CDLL:
    library = load_library(LIBRARY)
    place, size = ctypes.c_void_p, ctypes.c_ssize_t
    library.spline.argtypes, library.spline.restype = [place, size, size], ctypes.c_int
    library.sample.argtypes = [place, size, size, place, size, size, place, size, size, ctypes.c_int]
    library.sample.restype = None
    return library
