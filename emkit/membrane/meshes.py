"""Surfaces of objects, cube by cube: pieces that fit together without a gap. Axis order is (z, y, x), positions in voxel indices.

A surface runs where the object, smoothed by one voxel so that it has no steps, falls below `LEVEL`. In a cube
it depends on the cube and one voxel around it alone, so that neighbouring cubes share the corners of triangles at their face.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMOOTHING = np.array([1, 4, 1], np.float32) / 6
LEVEL = 0.4  # of a smoothed plate of one voxel 0.67 is left, of a line 0.44
HALO_PX = 2  # voxels around an object within which its surface lies, smoothed


@dataclass(frozen=True)
class Surface:
    """`points` (n, 3) in voxel indices, `faces` (m, 3) of indices of points, from outside counterclockwise in (x, y, z)."""

    points: NDArray[np.float64]
    faces: NDArray[np.uint32]


def object_surface(mask: NDArray[np.bool_]) -> Surface | None:
    """The surface of an object between the second and the last but one voxel of an array, each way; None where there is none.

    What the array holds around that only smooths.
    """
    from bioimage_cpp.mesh import marching_cubes
    from scipy import ndimage

    smooth = mask.astype(np.float32)
    for axis in range(3):
        smooth = ndimage.correlate1d(smooth, SMOOTHING, axis, mode="constant")
    inner = smooth[1:-1, 1:-1, 1:-1]
    if min(inner.shape) < 2 or not (inner.min() < LEVEL < inner.max()):
        return None
    points, faces, _, _ = marching_cubes(inner, LEVEL, allow_degenerate=False)
    if not len(faces):
        return None
    return Surface(points.astype(np.float64) + 1, faces.astype(np.uint32))


def surfaces_in(labels: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]] | None) -> Iterator[tuple[int, Surface]]:
    """The surface of each object, or each wanted one, between the second and the last but one voxel of an array."""
    from scipy import ndimage

    present = np.unique(labels)
    present = present[present > 0] if wanted is None else np.intersect1d(present, wanted)
    order = np.searchsorted(present, labels).clip(max=max(len(present) - 1, 0))
    index = np.where(present[order] == labels, order + 1, 0) if len(present) else np.zeros(labels.shape, np.int64)
    for label, box in zip(present, ndimage.find_objects(index), strict=True):
        z, y, x = (slice(max(s.start - HALO_PX, 0), s.stop + HALO_PX) for s in box)
        if (found := object_surface(labels[z, y, x] == label)) is not None:
            yield int(label), Surface(found.points + (z.start, y.start, x.start), found.faces)
