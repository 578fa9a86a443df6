"""The lens error that all tiles of a microscope share: a polynomial of second and third degree about the middle of the tile.

``p -> p + c · φ(u)`` for u the distance from the middle in half tiles and φ the seven `monomials`. What is of first degree is no
lens error that a montage could tell: it moves all tiles alike. Beyond `REACH` half tiles the displacement goes on as at the
nearest point within, since a cubic knows nothing there. Points are (y, x), px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emkit.errors import ParameterError
from emkit.transforms import Chain, CoordinateMap, Floats

EXACT_PX, TRIES = 1e-7, 100
REACH = 1.2
Coefficients = tuple[tuple[float, float], ...]
STRAIGHT: Coefficients = ((0.0, 0.0),) * 7


def monomials(u: Floats) -> Floats:
    """(..., 2) to (..., 7): yy, yx, xx, yyy, yyx, yxx, xxx."""
    y, x = u[..., 0], u[..., 1]
    return np.stack([y * y, y * x, x * x, y**3, y * y * x, y * x * x, x**3], axis=-1)


@dataclass(frozen=True)
class Lens:
    """``coefficients`` (7, 2), px, of a tile of ``shape`` (y, x): px as imaged → px without the error."""

    shape: tuple[int, int]
    coefficients: Coefficients = STRAIGHT

    def relative(self, points: ArrayLike) -> Floats:
        """Distance of points (..., 2) from the middle, in halves of the tile's longer side."""
        return (np.asarray(points, float) - (np.array(self.shape) - 1) / 2) / (max(self.shape) / 2)

    def displacement(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2), px."""
        moved: Floats = monomials(np.clip(self.relative(points), -REACH, REACH)) @ np.array(self.coefficients)
        return moved

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px."""
        return np.asarray(points, float) + self.displacement(points)

    __call__ = apply

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        return Chain((first, self))

    def invert(self) -> CoordinateMap:
        return Unbent(self)


@dataclass(frozen=True)
class Unbent:
    """The way back through a `Lens`: q to the p with ``lens(p) = q``, as a fixed point."""

    lens: Lens

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px. ParameterError where there is none: so strong a lens folds the tile."""
        q = np.asarray(points, float)
        p = q
        for _ in range(TRIES):
            last, p = p, q - self.lens.displacement(p)
            if np.abs(p - last).max(initial=0) < EXACT_PX:
                return p
        raise ParameterError(
            "The lens error cannot be undone at every point asked for: it folds the tile there. Needed: a weaker lens; check the "
            "positions of the tiles, or solve the montage with lens=False."
        )

    __call__ = apply

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        return Chain((first, self))

    def invert(self) -> CoordinateMap:
        return self.lens
