"""A probability of what is no cell, such as vessels, to a mask that segment leaves out. Axis order is (z, y, x)."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np

from emkit.blocks import Block
from emkit.io.omezarr import create_volume, memory_to_write, read_region, shard_grid, write_block
from emkit.io.probabilities import open_probability, read_probability
from emkit.membrane.fragments import within
from emkit.membrane.masking import HALO_PX, find_mask
from emkit.model import Level, Shape
from emkit.params import Reads, Writes
from emkit.provenance import Written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

SIDE_PX = 256


@dataclass(frozen=True)
class MaskReport:
    """How much is masked."""

    shape: Shape
    masked: int

    def __str__(self) -> str:
        z, y, x = self.shape
        return f"{self.masked / prod(self.shape):.2%} of {z} x {y} x {x} voxels (z, y, x) are masked"


@step
def make_mask(
    probability: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("volume")],
) -> Body[MaskReport]:
    """Make a mask of vessels or cell bodies from their probability, to be left out of a segmentation.

    It ends where the probability falls most steeply: a watershed from the voxels that are surely inside and surely not.

    Parameters
    ----------
    probability
        How probable each voxel is to be left out, as predict-membranes writes it: 0 to 1, or 0 to 255 in uint8. It may be coarse.
    out
        The mask: OME-Zarr labels, 1 where something is to be left out.
    """
    full = open_probability(probability)
    yield _plan(full)

    size_nm, origin_nm = full.voxel_size_nm, full.origin_nm
    create_volume(
        out, shape=full.shape, dtype="uint8", voxel_size_nm=size_nm, origin_nm=origin_nm, kind="labels", shard_px=SIDE_PX, levels=1
    )
    tasks = {str(block): (probability, full.shape, out, block) for block in shard_grid(out)}
    yield from stage("mask", write_mask, tasks, "blocks")
    counts = yield from stage("count", count_masked, {key: (out, task[-1]) for key, task in tasks.items()}, "blocks")
    return MaskReport(full.shape, sum(counts.values()))


def write_mask(probability: Path, shape: Shape, out: Path, block: Block) -> Written:
    """One task: a shard of the mask."""
    z, y, x = (
        (max(low - HALO_PX, 0), min(high + HALO_PX, n)) for (low, high), n in zip((block.z, block.y, block.x), shape, strict=True)
    )
    around = Block(z, y, x)
    mask = find_mask(read_probability(probability, around))[within(block, around)]
    return write_block(out, block, np.ascontiguousarray(mask, np.uint8))


def count_masked(out: Path, block: Block) -> int:
    """One task: how many voxels of a shard are masked."""
    return int(np.count_nonzero(read_region(out, 0, block)))


def _plan(full: Level) -> Plan:
    """Memory: what a worker holds of a block with its halo; measured. Disk: as if masks could not be packed."""
    block = [min(n, SIDE_PX) for n in full.shape]
    around = prod(min(n, side + 2 * HALO_PX) for n, side in zip(full.shape, block, strict=True))
    blocks = prod(-(-n // SIDE_PX) for n in full.shape)
    work = Load(blocks, memory_to_write(prod(block)) + 60_000_000 + 30 * around, around / 3e6)
    return Plan(20_000_000, prod(full.shape), 1.0, stages=(work, Load(blocks, 40_000_000, prod(block) / 200e6)))
