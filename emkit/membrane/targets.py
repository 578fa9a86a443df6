"""What a network is to learn, made from labels. Arrays are (z, y, x); in `dim` 2 each section is on its own.

Labels are understood first (`understand`): which voxels are membrane, which object each belongs to, and where anything is known.
Each target then is a map of it from 0 to 1 (`maps_of`), which may be resampled like an image; affinities are made from the ids of
a patch as it is handed to the network (`affinities_of`), since an offset means another one where the patch is turned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError
from emkit.membrane.model import Offset, TargetName

LabelKind = Literal["membrane", "interior", "instances", "strokes", "classes"]
INTERIOR, MEMBRANE, SPACE = 1, 2, 3  # values of strokes and classes; 0 is unlabelled
Mask = NDArray[np.bool_]
Ids = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What labels say: `ids` of objects from 1 (0: in none), where is membrane, and where both are `known`."""

    ids: Ids
    membrane: Mask
    known: Mask


def understand(
    labels: NDArray[Any], kind: LabelKind, dim: Literal[2, 3], thickness_px: int, *, extracellular: bool = False
) -> Truth:
    """What labels of this kind say.

    membrane: non-zero is membrane. interior: zero is. strokes, and classes, which fill areas: 1 is interior, 2 is membrane, 3 is
    extracellular space, 0 unknown; DataError for other values. instances: membrane is what lies within half of `thickness_px` of
    where two objects meet; 0 is unlabelled, but for a gap between objects that is no wider than the membrane, or all of it where 0
    is `extracellular` space.
    """
    if kind == "instances":
        return _each(labels, dim, lambda part: _of_instances(part, thickness_px, extracellular))
    if kind in ("strokes", "classes"):
        if not set(np.unique(labels)) <= {0, INTERIOR, MEMBRANE, SPACE}:
            raise DataError(
                f"labels: found values up to {labels.max()} in labels of the kind {kind}; needed: {INTERIOR} in cells, {MEMBRANE} "
                f"on membranes, {SPACE} between cells, 0 where nothing is labelled. Numbers of cells are of the kind instances."
            )
        return _each(labels, dim, lambda part: Truth(_components((part == 0) | (part == INTERIOR)), part == MEMBRANE, part != 0))
    membrane = (labels != 0) == (kind == "membrane")
    return _each(membrane, dim, lambda part: Truth(_components(~part), part, np.ones(part.shape, bool)))


def _each(labels: NDArray[Any], dim: int, of: Callable[[NDArray[Any]], Truth]) -> Truth:
    """Section by section in 2D; ids may come again in another section."""
    parts = [of(section) for section in labels] if dim == 2 else [of(labels)]
    ids, membrane, known = (
        np.stack([getattr(part, name) for part in parts]) if dim == 2 else getattr(parts[0], name)
        for name in ("ids", "membrane", "known")
    )
    return Truth(np.where(known, ids, 0).astype(np.int32), membrane & known, known)


def _components(interior: Mask) -> Ids:
    from scipy import ndimage

    ids: Ids = ndimage.label(interior)[0].astype(np.int32)
    return ids


def _of_instances(labels: NDArray[Any], thickness_px: int, extracellular: bool) -> Truth:
    """A gap that is closed by a ball as wide as a membrane lies between objects; what is wider is unlabelled, or space."""
    from scipy import ndimage
    from skimage.segmentation import expand_labels, find_boundaries, relabel_sequential

    ids = relabel_sequential(labels.astype(np.int64))[0].astype(np.int32)
    labelled = ids != 0
    if labelled.all():
        grown, known = ids, labelled
    else:
        grown = expand_labels(ids, thickness_px)
        padded = np.pad(labelled, thickness_px, mode="edge")
        inside = tuple(slice(thickness_px, -thickness_px) for _ in labels.shape)
        known = labelled | ndimage.binary_closing(padded, iterations=thickness_px)[inside]
        grown = np.where(known, grown, 0).astype(np.int32)
    meeting = find_boundaries(grown if extracellular else _without_gaps(grown, known), mode="thick")
    if (wider := (thickness_px - 2) // 2) > 0:
        meeting = ndimage.binary_dilation(meeting, iterations=wider)
    membrane = meeting | (known & ~labelled)
    if extracellular:
        known = np.ones(labels.shape, bool)
    return Truth(np.where(membrane, 0, ids).astype(np.int32) if not labelled.all() else ids, membrane, known)


def _without_gaps(ids: Ids, known: Mask) -> Ids:
    """Ids where what is unknown belongs to the nearest object: there is no boundary towards it."""
    from scipy import ndimage

    if known.all() or not known.any():
        return ids
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: Ids = ids[tuple(nearest)]
    return filled


def maps_of(
    truth: Truth, names: Sequence[TargetName], dim: int, voxel_size_nm: tuple[float, float, float], thickness_px: int
) -> Floats:
    """The map of each of these targets, (C, z, y, x), from 0 to 1. Affinities are none of them.

    DataError where extracellular space is asked for, and none is labelled.
    """
    if "extracellular" in names and not extracellular(truth, voxel_size_nm, thickness_px).any():
        raise DataError(
            "labels: no voxel is extracellular space, which is to be learned. Give labels that tell it: of the kind classes, with "
            f"the value {SPACE}, or instances with --extracellular."
        )
    made = [_section_wise(truth, dim, _MAPS[name], voxel_size_nm, thickness_px) for name in names]
    return np.stack(made) if made else np.zeros((0, *truth.ids.shape), np.float32)


Sizes = tuple[float, ...]
Map = Callable[[Truth, Sizes, int], NDArray[Any]]


def _section_wise(truth: Truth, dim: int, make: Map, voxel_size_nm: Sizes, thickness_px: int) -> Floats:
    if dim == 3:
        return make(truth, voxel_size_nm, thickness_px).astype(np.float32)
    parts = zip(truth.ids, truth.membrane, truth.known, strict=True)
    return np.stack([make(Truth(*part), voxel_size_nm[1:], thickness_px) for part in parts]).astype(np.float32)


def membrane(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """1 on membranes."""
    return truth.membrane


def foreground(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """1 within objects."""
    made: Mask = (truth.ids != 0) & ~truth.membrane
    return made


def contour(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> Any:
    """1 along the edges of objects, `thickness_px` wide."""
    from scipy import ndimage
    from skimage.segmentation import find_boundaries

    edges = find_boundaries(truth.ids, mode="thick")
    wider = (thickness_px - 2) // 2
    made: Mask = ndimage.binary_dilation(edges, iterations=wider) if wider > 0 else edges
    return made


def distance(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """How deep a voxel lies in its object: tanh of its distance from the edge over 10 membranes; 0 outside."""
    from edt import edt

    inside = np.where(truth.membrane, 0, truth.ids).astype(np.uint32)
    deep: Floats = edt(np.ascontiguousarray(inside), anisotropy=voxel_size_nm, black_border=False)
    made: Floats = np.tanh(deep / (10 * thickness_px * voxel_size_nm[-1]))
    return made


def cleft(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """1 on objects, made wider by half of a membrane: clefts are thin, and their labels thinner."""
    from scipy import ndimage

    made: Mask = ndimage.binary_dilation((truth.ids != 0) & ~truth.membrane, iterations=max(1, thickness_px // 2))
    return made


def skeleton(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """1 on the centre lines of membranes, 3 px wide: as thin as they can be learned."""
    from scipy import ndimage
    from skimage.morphology import skeletonize

    made: Mask = ndimage.binary_dilation(skeletonize(truth.membrane))
    return made


def extracellular(truth: Truth, voxel_size_nm: Sizes, thickness_px: int) -> NDArray[Any]:
    """1 in the space between cells: in none of them, and no membrane."""
    made: Mask = truth.known & ~truth.membrane & (truth.ids == 0)
    return made


_MAPS: dict[TargetName, Map] = {
    "membrane": membrane,
    "foreground": foreground,
    "contour": contour,
    "distance": distance,
    "cleft": cleft,
    "skeleton": skeleton,
    "extracellular": extracellular,
}


def affinities_of(ids: Ids, offsets: Sequence[Offset]) -> tuple[Floats, Mask]:
    """For each offset, (C, z, y, x): 1 where the voxel and the one at that offset from it are of one object, and where that is
    known: where both lie within the array.
    """
    same = np.zeros((len(offsets), *ids.shape), np.float32)
    inside = np.zeros(same.shape, bool)
    for k, offset in enumerate(offsets):
        here, there = _shifted(offset, ids.shape)
        same[k][here] = (ids[here] == ids[there]) & (ids[here] != 0)
        inside[k][here] = True
    return same, inside


def _shifted(offset: Offset, shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The voxels of an array that have one at this offset within it, and those."""
    spans = tuple(zip(offset, shape, strict=True))
    here = tuple(slice(max(0, -o), max(0, min(n, n - o))) for o, n in spans)
    return here, tuple(slice(max(0, o), max(0, min(n, n + o))) for o, n in spans)


def check_learnable(truth: Truth, what: str) -> None:
    """DataError where nothing can be learned from labels: nothing is known, or all of it is the same."""
    if not truth.known.any():
        raise DataError(f"{what}: nothing is labelled (all values are 0). Label some cells and the membranes between them.")
    part = float(truth.membrane[truth.known].mean())
    if part in (0.0, 1.0):
        found = "no voxel is membrane" if part == 0 else "every voxel is membrane"
        raise DataError(
            f"{what}: by these labels {found}; needed: both membrane and interior. Label both, or check --label-kind: "
            "membrane (non-zero is membrane), interior (non-zero is within cells), instances (a number for each cell)."
        )


def room_in(known: Mask) -> NDArray[np.int32]:
    """How far each voxel of a section is from the next that is not known, (y, x), by the longer of both axes, px.

    The edge of the section is none: what lies beyond is its mirror image. A square of 2r - 1 px around a voxel with r fits.
    """
    from scipy import ndimage

    if known.all():
        return np.full(known.shape, np.iinfo(np.int32).max, np.int32)
    padded = np.pad(known, max(known.shape) // 2, mode="symmetric")
    far = ndimage.distance_transform_cdt(padded, metric="chessboard").astype(np.int32)
    inside: NDArray[np.int32] = far[tuple(slice(max(known.shape) // 2, -(max(known.shape) // 2)) for _ in known.shape)]
    return inside


def radius_of(patch_px: int, widest: float) -> int:
    """The room that a square patch needs, turned by any angle and drawn as wide as `widest`: half of its diagonal."""
    return ceil(patch_px / 2 * 2**0.5 * widest)
