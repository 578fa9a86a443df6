"""Geometric maps between pixel spaces.

Points are rows (y, x) in pixels, pixel centres at integers: (0, 0) is the middle of the first pixel. A map takes a point of
the *output* to the point of the *input* whose value it shows, which is what rendering asks for: ``output[p] = input[f(p)]``.
Matrices follow the points: first row y, first column the factor of y.

Laws, held as property tests: ``f.invert().compose(f)`` is the identity; ``f.compose(g).apply(p) == f.apply(g.apply(p))``;
composition is associative; ``f.shrunk(s)`` on shrunken points agrees with ``f``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emkit.errors import ParameterError

Floats = NDArray[np.float64]
Row = tuple[float, float, float]
Rows = tuple[Row, Row]  # an affine in JSON: [[yy, yx, y0], [xy, xx, x0]]

IDENTITY_ROWS: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Affine:
    """``p -> linear @ p + shift`` for points (y, x); equal, hashable and written to JSON by its two rows.

    >>> Affine.translation(2, -1).apply([[0, 0], [5, 5]]).tolist()
    [[2.0, -1.0], [7.0, 4.0]]
    """

    rows: Rows = IDENTITY_ROWS

    @classmethod
    def of(cls, linear: ArrayLike, shift: ArrayLike) -> Affine:
        """From a (2, 2) linear part and a shift (y, x) in px."""
        (a, b), (c, d) = np.asarray(linear, float).tolist()
        y, x = np.asarray(shift, float).tolist()
        return cls(((a, b, y), (c, d, x)))

    @classmethod
    def translation(cls, y: float, x: float) -> Affine:
        return cls(((1.0, 0.0, float(y)), (0.0, 1.0, float(x))))

    @classmethod
    def rotation(cls, degrees: float, centre: ArrayLike = (0.0, 0.0)) -> Affine:
        """A turn about ``centre`` (y, x) that takes +y towards +x for positive degrees."""
        turn = np.deg2rad(degrees)
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        about = np.asarray(centre, float)
        return cls.of(linear, about - linear @ about)

    @property
    def linear(self) -> Floats:
        """(2, 2)."""
        return np.array(self.rows)[:, :2]

    @property
    def shift(self) -> Floats:
        """(2,): where the origin goes, px."""
        return np.array(self.rows)[:, 2]

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px."""
        return np.asarray(points, float) @ self.linear.T + self.shift

    def compose(self, first: Affine) -> Affine:
        """This map after ``first``."""
        return Affine.of(self.linear @ first.linear, self.linear @ first.shift + self.shift)

    def invert(self) -> Affine:
        """The map back. ParameterError if the linear part flattens the plane."""
        linear = self.linear
        # relative to its own size, so that a map between very different pixel sizes is not mistaken for a flat one
        if abs(np.linalg.det(linear)) <= 1e-12 * np.linalg.norm(linear) ** 2:
            raise ParameterError(
                f"The affine {self.rows} cannot be inverted: it flattens the plane. Needed: a linear part of full rank."
            )
        back = np.linalg.inv(linear)
        return Affine.of(back, -back @ self.shift)

    def shrunk(self, factor: int) -> Affine:
        """The same map between both images shrunk by block means of ``factor``² pixels.

        The middle of the first block is at ``(factor - 1) / 2`` of the full pixels, so shifts do not just divide.
        """
        middle = np.full(2, (factor - 1) / 2)
        return Affine.of(self.linear, (self.linear @ middle + self.shift - middle) / factor)

    def enlarged(self, factor: int) -> Affine:
        """The inverse of `shrunk`: from the shrunken images to the full ones."""
        middle = np.full(2, (factor - 1) / 2)
        return Affine.of(self.linear, factor * self.shift + middle - self.linear @ middle)
