"""Skeletons of objects by TEASAR (Sato et al. 2000, doi:10.1109/PCCGA.2000.883951). Axis order is (z, y, x)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emkit.model import SizeNm

SCALE, CONSTANT = 1.5, 3.0  # a line covers what lies within so many radii, and voxels more; what reaches further is a branch


@dataclass(frozen=True)
class Lines:
    """`points` (n, 3) in nm from the first voxel of the array, `edges` (m, 2) of indices of points, `radii` (n,) in nm."""

    points: NDArray[np.float64]
    edges: NDArray[np.uint64]
    radii: NDArray[np.float32]


def find_skeleton(mask: NDArray[np.bool_], voxel_size_nm: SizeNm) -> Lines:
    """The centre lines of an object; a forest, where it is in several parts."""
    from bioimage_cpp.skeleton import teasar

    points, edges, radii = teasar(mask, spacing=voxel_size_nm, scale=SCALE, constant=CONSTANT * min(voxel_size_nm))
    return Lines(points, edges, radii)
