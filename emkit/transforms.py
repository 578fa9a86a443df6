"""Geometric maps between pixel spaces.

Points are rows (y, x) in pixels, pixel centres at integers: (0, 0) is the middle of the first pixel. A map takes a point of
the *output* to the point of the *input* whose value it shows, which is what rendering asks for: ``output[p] = input[f(p)]``.
Matrices follow the points: first row y, first column the factor of y.

Every map can be called, which is the same as `apply`. An `Affine` is global; an `Elastic` bends what an affine then moves; a
`Chain` is maps one after another, an `Inverse` is found point by point.

Laws, held as property tests: ``f.invert().compose(f)`` is the identity; ``f.compose(g).apply(p) == f.apply(g.apply(p))``;
composition is associative; ``f.shrunk(s)`` on shrunken points agrees with ``f``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from emkit.errors import ParameterError

Floats = NDArray[np.float64]
Row = tuple[float, float, float]
Rows = tuple[Row, Row]  # an affine in JSON: [[yy, yx, y0], [xy, xx, x0]]

IDENTITY_ROWS: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

EXACT_PX = 1e-7  # how near the inverse of a bent map comes
TRIES = 200


class CoordinateMap(Protocol):
    """Points (..., 2) to points (..., 2), px."""

    def __call__(self, points: ArrayLike, /) -> Floats: ...

    def apply(self, points: ArrayLike) -> Floats: ...

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        ...

    def invert(self) -> CoordinateMap: ...


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

    __call__ = apply

    @overload
    def compose(self, first: Affine) -> Affine: ...
    @overload
    def compose(self, first: CoordinateMap) -> CoordinateMap: ...
    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``: an affine after an affine is one."""
        if isinstance(first, Affine):
            return Affine.of(self.linear @ first.linear, self.linear @ first.shift + self.shift)
        return Chain((first, self))

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


@dataclass(frozen=True, eq=False)
class Elastic:
    """``p -> affine(p + u(p))``: a smooth displacement u, then an affine.

    u is a cubic B-spline: ``coefficients`` (rows, columns, 2), px, with the first at (-spacing, -spacing) and one every
    ``spacing`` px. Beyond them u goes on as at the nearest point between them.
    """

    affine: Affine
    coefficients: Floats
    spacing_px: float

    def displacement(self, points: ArrayLike) -> Floats:
        """u at points (..., 2), px."""
        p = np.asarray(points, float)
        ends = np.array(self.coefficients.shape[:2]) - 2
        at = np.moveaxis(np.clip(p / self.spacing_px + 1, 1, ends), -1, 0)
        u = [ndimage.map_coordinates(self.coefficients[..., axis], at, order=3, prefilter=False) for axis in (0, 1)]
        return np.stack(u, axis=-1)

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px."""
        return self.affine.apply(np.asarray(points, float) + self.displacement(points))

    def on_grid(self, rows: Floats, columns: Floats) -> Floats:
        """`apply` at each of ``rows`` with each of ``columns``, (rows, columns, 2): two products of small matrices."""
        count_y, count_x = self.coefficients.shape[:2]
        along_y = bspline_basis(rows, count_y, self.spacing_px)
        along_x = bspline_basis(columns, count_x, self.spacing_px)
        moved = self.coefficients @ self.affine.linear.T  # few, before they are many
        places = np.empty((len(rows), len(columns), 2))
        for axis, (down, across, start) in enumerate(self.affine.rows):
            plane = along_y @ moved[..., axis] @ along_x.T  # each by itself: along an axis of 2 numpy is slow
            plane += (rows * down + start)[:, None]
            plane += columns * across
            places[..., axis] = plane
        return places

    __call__ = apply

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        return Chain((first, self))

    def invert(self) -> CoordinateMap:
        """The map back; where it bends too sharply, applying that is a ParameterError."""
        return Chain((self.affine.invert(), Inverse(self)))


def bspline_basis(places: Floats, count: int, spacing_px: float) -> Floats:
    """(places, count): what each coefficient of an `Elastic` adds at each place of one axis."""
    at = np.clip(places / spacing_px + 1, 1, count - 2)
    from_centre = np.abs(at[:, None] - np.arange(count))
    near, far = 2 / 3 - from_centre**2 * (1 - from_centre / 2), (2 - from_centre) ** 3 / 6
    basis: Floats = np.where(from_centre < 1, near, np.where(from_centre < 2, far, 0.0))
    return basis


@dataclass(frozen=True, eq=False)
class Inverse:
    """The way back through the displacement of an `Elastic`: q to the p with ``p + u(p) = q``, as a fixed point."""

    of: Elastic

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px. ParameterError where no p is found."""
        q = np.asarray(points, float)
        p, change = q, np.inf
        for _ in range(TRIES):
            last, p = p, q - self.of.displacement(p)
            change = float(np.abs(p - last).max(initial=0))
            if change < EXACT_PX:
                return p
        raise ParameterError(
            f"The elastic map cannot be inverted: it bends too sharply (its inverse still moves by {change:.3g} px after "
            f"{TRIES} rounds). Needed: a displacement that changes by less than 1 px a px; solve it again with stiffer sections."
        )

    __call__ = apply

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        return Chain((first, self))

    def invert(self) -> CoordinateMap:
        return Elastic(Affine(), self.of.coefficients, self.of.spacing_px)


@dataclass(frozen=True, eq=False)
class Chain:
    """``maps``, the first one first."""

    maps: tuple[CoordinateMap, ...]

    def apply(self, points: ArrayLike) -> Floats:
        """(..., 2) points to (..., 2) points, px."""
        p = np.asarray(points, float)
        for one in self.maps:
            p = one.apply(p)
        return p

    __call__ = apply

    def compose(self, first: CoordinateMap) -> CoordinateMap:
        """This map after ``first``."""
        return Chain((first, *self.maps))

    def invert(self) -> CoordinateMap:
        return Chain(tuple(one.invert() for one in reversed(self.maps)))
