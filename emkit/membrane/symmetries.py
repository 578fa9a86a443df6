"""Turns and mirrors under which a section is as likely as before: predictions may be means over them. Axis order is (z, y, x)."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.model import Shape

Z, Y, X = -3, -2, -1  # of arrays that may have axes before


@dataclass(frozen=True)
class Symmetry:
    """Mirrored along `mirrored` axes, then y and x exchanged if `turned`."""

    mirrored: tuple[int, ...] = ()
    turned: bool = False

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of the array (..., z, y, x) as seen so."""
        seen = np.flip(array, self.mirrored)
        return seen.swapaxes(Y, X) if self.turned else seen

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """What `apply` was given."""
        return np.flip(array.swapaxes(Y, X) if self.turned else array, self.mirrored)

    def of_offset(self, offset: Shape) -> Shape:
        """Where an offset (z, y, x) points in the array as seen so."""
        z, y, x = (-n if axis in self.mirrored else n for axis, n in zip((Z, Y, X), offset, strict=True))
        return (z, x, y) if self.turned else (z, y, x)


def symmetries(count: int, dim: int) -> tuple[Symmetry, ...]:
    """The first so many, the identity before all: 8 within the plane, and in 3D the same mirrored along z.

    >>> symmetries(2, dim=2)
    (Symmetry(mirrored=(), turned=False), Symmetry(mirrored=(-2, -1), turned=False))
    """
    along_z: tuple[tuple[int, ...], ...] = ((), (Z,)) if dim == 3 else ((),)
    in_plane: tuple[tuple[int, ...], ...] = ((), (Y, X), (Y,), (X,))
    every = [Symmetry(mirrors + plane, turned) for mirrors, turned, plane in product(along_z, (False, True), in_plane)]
    return tuple(every[:count])
