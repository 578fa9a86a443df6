"""Objects of a segmentation to skeletons that Neuroglancer shows: where they lie, then each. Axis order is (z, y, x)."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.omezarr import read_region, read_volume, shard_grid
from emkit.io.skeletons import Skeleton, read_skeleton, write_skeleton, write_skeleton_info
from emkit.membrane.skeletons import find_skeleton
from emkit.model import Volume
from emkit.params import Reads, Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

LARGEST = 1 << 27  # voxels of the box around an object that a task holds; a larger one is skeletonized at a coarser level
LEAST_VOXELS = 100
VOXEL_BYTES = 40
Box = tuple[int, int, int, int, int, int, int]  # voxels, then z, y, x from and to


@dataclass(frozen=True)
class SkeletonReport:
    """What was written. `small`: how many objects had too few voxels. `missing`: asked for, and not there."""

    objects: int
    small: int
    length_um: float
    missing: tuple[int, ...] = ()

    def __str__(self) -> str:
        told = f"{self.objects} objects, {self.length_um:,.1f} µm of lines; {self.small} of fewer voxels left out"
        return told + (f"; not in the volume: {', '.join(map(str, self.missing))}" if self.missing else "")


@step
def skeletonize(
    segmentation: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("folder")],
    objects: list[Annotated[int, Ge(1)]] | None = None,
    level: Annotated[int, Ge(0)] = 0,
    least_voxels: Annotated[int, Ge(1)] = LEAST_VOXELS,
) -> Body[SkeletonReport]:
    """Skeletonize the objects of a segmentation: their centre lines with radii, as Neuroglancer shows them.

    Written beside the segmentation, as NAME.skeletons beside NAME.ome.zarr, they are shown by emkit view and in the dashboards.

    Parameters
    ----------
    segmentation
        The labels, OME-Zarr.
    out
        A folder of skeletons: Neuroglancer precomputed.
    objects
        The numbers of the objects. Default: all.
    level
        The level of the volume that lines are found in: each more is twice as coarse. An object that is too large for memory takes
        the first level at which it is not.
    least_voxels
        Objects with fewer voxels at that level are left out.
    """
    volume = read_volume(segmentation)
    if volume.kind != "labels":
        raise ParameterError(f"segmentation: {segmentation} holds an image; needed: labels, as segment makes them.")
    if level >= len(volume.levels):
        raise ParameterError(f"level: found {level}, but {segmentation} has levels 0 to {len(volume.levels) - 1}.")
    blocks = shard_grid(segmentation, level)
    block, box = prod(blocks[0].shape), min(LARGEST, prod(volume.levels[level].shape))
    finding, drawing = Load(len(blocks), 60_000_000 + 9 * block, block * 2e-8), Load(1, 60_000_000 + VOXEL_BYTES * box, box * 1e-6)
    yield Plan(20_000_000, 1_000_000, 0.5, stages=(finding, drawing))

    out.mkdir(exist_ok=True)
    write_skeleton_info(out, segmentation.name)
    found = yield from stage(
        "boxes", find_boxes, {str(b): (segmentation, level, b, tuple(objects or ())) for b in blocks}, "blocks"
    )
    boxes: dict[int, Box] = {}
    for part in found.values():
        for label, here in part.items():
            boxes[label] = _joined(boxes[label], here) if label in boxes else here
    large = {label: here for label, here in sorted(boxes.items()) if here[0] >= least_voxels}
    tasks = {str(label): (segmentation, level, out, label, here) for label, here in large.items()}
    yield from stage("skeletons", write_lines, tasks, "objects")
    length_nm = sum(read_skeleton(out, label).length_nm for label in large)
    missing = tuple(sorted(set(objects or ()) - set(boxes)))
    return SkeletonReport(len(large), len(boxes) - len(large), round(length_nm / 1e3, 3), missing)


def find_boxes(segmentation: Path, level: int, block: Block, objects: tuple[int, ...]) -> dict[int, Box]:
    """One task: of each object in a block, or each chosen one, how many voxels it has there, and in which box."""
    from scipy import ndimage

    labels = read_region(segmentation, level, block)
    present, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    slices = ndimage.find_objects(index.reshape(labels.shape) + 1)
    found: dict[int, Box] = {}
    for label, count, (z, y, x) in zip(present.tolist(), counts.tolist(), slices, strict=True):
        if label and (not objects or label in objects):
            corners = ((s.start + low, s.stop + low) for s, (low, _) in zip((z, y, x), (block.z, block.y, block.x), strict=True))
            (z0, z1), (y0, y1), (x0, x1) = corners
            found[label] = count, z0, y0, x0, z1, y1, x1
    return found


def write_lines(segmentation: Path, level: int, out: Path, label: int, box: Box) -> Written:
    """One task: the skeleton of one object, from the first level at which its box is small enough."""
    volume = read_volume(segmentation)
    place, chosen = _placed(volume, level, box)
    full = volume.levels[chosen]
    lines = find_skeleton(read_region(segmentation, chosen, place) == label, full.voxel_size_nm)
    first = np.add(full.origin_nm, np.multiply((place.z[0], place.y[0], place.x[0]), full.voxel_size_nm))
    skeleton = Skeleton((lines.points + first).astype(np.float32), lines.edges.astype(np.uint32), lines.radii)
    return written(out, write_skeleton(out, label, skeleton))


def _placed(volume: Volume, level: int, box: Box) -> tuple[Block, int]:
    """The box at the first level where it holds few enough voxels."""
    base = volume.levels[level].voxel_size_nm
    for number in range(level, len(volume.levels)):
        coarse = volume.levels[number]
        factors = [round(a / b) for a, b in zip(coarse.voxel_size_nm, base, strict=True)]
        z, y, x = (
            (low // f, min(-(-high // f), n)) for low, high, f, n in zip(box[1:4], box[4:], factors, coarse.shape, strict=True)
        )
        if prod((place := Block(z, y, x)).shape) <= LARGEST:
            return place, number
    return place, len(volume.levels) - 1


def _joined(a: Box, b: Box) -> Box:
    low, high = np.minimum(a[1:4], b[1:4]).tolist(), np.maximum(a[4:], b[4:]).tolist()
    return a[0] + b[0], low[0], low[1], low[2], high[0], high[1], high[2]
