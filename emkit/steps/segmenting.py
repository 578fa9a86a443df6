"""A membrane probability to cells: seeds, fragments, their graph, one cut of it, labels; block by block. Axis order is (z, y, x).

Of the probability of objects the fragments are the objects, and nothing is cut.

A block is a shard of the fragments. What blocks share goes through files of the output: seeds with the labels that each block gave
them, the tables that make them labels of the volume, and the edges of the graph.
"""

import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from emkit.blocks import Block, shard_shape
from emkit.errors import ParameterError
from emkit.io.omezarr import (
    blocks_to_build,
    build_block,
    create_volume,
    levels_to_build,
    memory_to_write,
    read_region,
    shard_grid,
    write_block,
)
from emkit.io.probabilities import check_mask, open_probability, predicted_dim, read_mask, read_probability, tell_dim
from emkit.measure.overlaps import Overlaps
from emkit.membrane.edits import links_within
from emkit.membrane.fragments import Dim, Geometry, find_seeds, grow_fragments, halos, membrane_distance, with_halo, within
from emkit.membrane.instances import EdgeSums, label_seeds, link_sections, region_edges, solve_cells
from emkit.membrane.objects import HALF, find_inside, find_object_seeds, grow_objects
from emkit.membrane.prediction import told_channels
from emkit.membrane.reconciliation import face_pairs, first_voxels, number_components, offsets_of
from emkit.membrane.regions import Labels
from emkit.model import Shape, SizeNm
from emkit.params import Reads, Writes
from emkit.provenance import Written, await_files, files_of, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

SEEDS, FRAGMENTS, GRAPH = "seeds", "fragments", "graph"  # within the output; the seeds go when all is done
FIRST, PAIRS, EDGES, OVERLAPS = "first", "pairs", "edges", "overlaps"
OFFSETS, NUMBERS, CELLS, LINKS = "offsets.npy", "numbers.npy", "cells.npy", "links.npy"
SECTION_PX, BLOCK_PX, CHUNK_PX = 2048, 256, 64  # sides of blocks: of sections, in 3D; of chunks


@dataclass(frozen=True)
class SegmentReport:
    """What was found. In two dimensions each section has cells of its own."""

    shape: Shape
    voxel_size_nm: SizeNm
    dim: int
    fragments: int
    cells: int
    objects: bool = False

    def __str__(self) -> str:
        z, y, x = self.shape
        how = "each section on its own" if self.dim == 2 else "in 3D"
        found = f"{self.cells} objects" if self.objects else f"{self.cells} cells of {self.fragments} fragments"
        return f"{found} in {z} x {y} x {x} voxels (z, y, x), {how}"


@dataclass(frozen=True)
class Job:
    """What every task needs to know. `side`: of the blocks, (z, y, x). `objects`: the probability is that of their inside.

    `contour`: the probability of it, between objects. `space`: that of what is outside of cells.
    """

    probability: Path
    out: Path
    geometry: Geometry
    shape: Shape
    voxel_size_nm: SizeNm
    origin_nm: SizeNm
    side: Shape
    mask: Path | None
    objects: bool
    contour: Path | None
    space: Path | None


@step
def segment(
    probability: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("volume")],
    dim: Annotated[int, Ge(2), Le(3)] | None = None,
    mask: Annotated[Path | None, Reads("volume")] = None,
    block_px: Annotated[int, Ge(64)] | None = None,
) -> Body[SegmentReport]:
    """Segment a membrane probability into cells, each a number of its own; or that of objects, such as mitochondria, into these.

    Fragments are grown from the places furthest from any membrane; one multicut of the graph of them all then says which of them
    are one cell. The volume need not fit into memory. Fragments and graph are kept in the result, so that it can be corrected.

    Where the model tells foreground or clefts and no membrane, objects are what is more probable than one half and touches; a
    contour, where the model tells one, parts those that touch each other. Extracellular space, where it is told, is left out.

    Parameters
    ----------
    probability
        How probable each voxel is membrane, or within an object, as predict-membranes writes it: 0 to 1, or 0 to 255 in uint8.
    out
        The result: OME-Zarr labels, 0 where nothing is.
    dim
        2: the cells of each section on its own; 3: those of the volume. Default: as the model looked that predicted.
    mask
        What is left out, such as vessels: a volume of the same place that is not 0 there; it may be coarser.
    block_px
        Side of the blocks that a task holds, 64 times a power of two. Default: 2048 in sections, 256 in 3D.
    """
    full = open_probability(probability)
    wanted: Dim = 3 if (dim or predicted_dim(probability)) == 3 else 2
    geometry = Geometry.of(full.voxel_size_nm, wanted)
    side = block_px or (SECTION_PX if geometry.flat else BLOCK_PX)
    if side % CHUNK_PX or (side // CHUNK_PX).bit_count() != 1:
        raise ParameterError(f"block_px: found {side}; needed: {CHUNK_PX} times a power of two, such as 128 or 256.")
    if mask:
        check_mask(mask, full)
    thin = 1 if geometry.flat else None
    place = full.shape, full.voxel_size_nm, full.origin_nm
    job = Job(probability, out, geometry, *place, (thin or side, side, side), mask, *_told(probability))
    yield _plan(job)

    told: dict[str, Any] = {"shape": full.shape, "dtype": "uint32", "voxel_size_nm": full.voxel_size_nm}
    told |= {"origin_nm": full.origin_nm, "kind": "labels"}
    create_volume(out, **told)
    tell_dim(out, wanted)
    chunk: Shape = (thin or CHUNK_PX, CHUNK_PX, CHUNK_PX)
    for name in (SEEDS, FRAGMENTS):
        create_volume(out / name, chunk_px=chunk, shard_px=job.side, levels=1, **told)
    for folder in (out / SEEDS / FIRST, out / SEEDS / PAIRS, out / GRAPH / EDGES, out / GRAPH / OVERLAPS):
        folder.mkdir(parents=True, exist_ok=True)
    blocks = shard_grid(out / FRAGMENTS)
    tasks = {str(block): (job, block, number) for number, block in enumerate(blocks)}

    yield from stage("seeds", write_seeds, tasks, "blocks")
    firsts = [np.load(out / SEEDS / FIRST / f"{number}.npy") for number in range(len(blocks))]
    grid = tuple(-(-n // s) for n, s in zip(full.shape, job.side, strict=True))
    np.save(out / SEEDS / OFFSETS, offsets_of([len(first) for first in firsts]).reshape(grid))
    yield from stage("faces", write_pairs, tasks, "blocks")
    pairs = [np.load(out / SEEDS / PAIRS / f"{number}.npy") for number in range(len(blocks))]
    numbers = number_components(np.concatenate(firsts), np.concatenate(pairs))
    np.save(out / SEEDS / NUMBERS, numbers.astype(np.uint32))

    yield from stage("fragments", write_fragments, tasks, "blocks")
    yield from stage("edges", write_edges, tasks, "blocks")
    graph = EdgeSums.merge([EdgeSums.load(out / GRAPH / EDGES / f"{number}.npy") for number in range(len(blocks))])
    count = int(numbers.max(initial=0))
    cells = np.arange(count + 1) if job.objects else solve_cells(count, graph, geometry)
    graph.save(out / GRAPH / f"{EDGES}.npy")
    np.save(out / GRAPH / CELLS, cells.astype(np.uint32))
    if geometry.linked:
        ends = {key: task for key, task in tasks.items() if task[1].z[1] < full.shape[0]}
        yield from stage("overlaps", write_overlaps, ends, "blocks")
        by_section: dict[int, list[Overlaps]] = {}
        for _, block, number in ends.values():
            by_section.setdefault(block.z[0], []).append(Overlaps(*np.load(out / GRAPH / OVERLAPS / f"{number}.npy")))
        tables = [Overlaps.sum(parts) for parts in by_section.values()]
        linked = link_sections([table.renamed(cells) for table in tables], int(cells.max(initial=0)))
        cells = linked[cells]
        np.save(out / GRAPH / CELLS, cells.astype(np.uint32))
        np.save(out / GRAPH / LINKS, links_within(tables, cells))

    made = files_of((yield from stage("cells", write_cells, {str(b): (out, b) for b in shard_grid(out)}, "blocks")))
    for level in levels_to_build(out):
        coarser = {str(block): (out, level, block, finer) for block, finer in blocks_to_build(out, level, made)}
        made = files_of((yield from stage(f"level {level}", build_block, coarser, "blocks")))
    for folder in (out / SEEDS, out / GRAPH / EDGES, out / GRAPH / OVERLAPS):
        if folder.exists():
            shutil.rmtree(folder)
    return SegmentReport(full.shape, full.voxel_size_nm, wanted, count, int(cells.max(initial=0)), job.objects)


def write_seeds(job: Job, block: Block, number: int) -> Written:
    """One task: the seeds of a block, labelled from 1 in it, and the first voxel of each."""
    around = with_halo(block, job.shape, job.geometry)
    probability, mask = read_probability(job.probability, around), _inside(job, around)
    if job.objects:
        seeds = find_object_seeds(find_inside(probability, mask), _contour(job, around), job.geometry)
    else:
        seeds = find_seeds(membrane_distance(probability, job.geometry, mask), job.geometry)
    labels, count = label_seeds(seeds[within(block, around)], job.geometry)
    np.save(file := job.out / SEEDS / FIRST / f"{number}.npy", first_voxels(labels, count, block, job.shape))
    return _in_output(job.out, SEEDS, write_block(job.out / SEEDS, block, labels), file)


def write_pairs(job: Job, block: Block, number: int) -> Written:
    """One task: which seeds touch across the faces with which a block begins."""
    found = [np.zeros((0, 2), np.uint64)]
    spans = [block.z, block.y, block.x]
    for axis in range(1 if job.geometry.flat else 0, 3):
        if low := spans[axis][0]:
            both = [(low - 1, low + 1) if other == axis else span for other, span in enumerate(spans)]
            before, after = np.split(_read_seeds(job, Block(both[0], both[1], both[2])), 2, axis)
            found.append(face_pairs(before, after))
    np.save(file := job.out / SEEDS / PAIRS / f"{number}.npy", np.concatenate(found))
    return written(job.out, file)


def write_fragments(job: Job, block: Block, _: int) -> Written:
    """One task: the fragments of a block, grown from all seeds within its halo."""
    around = with_halo(block, job.shape, job.geometry)
    numbers = np.load(job.out / SEEDS / NUMBERS, mmap_mode="r")
    seeds: Labels = np.asarray(numbers[_read_seeds(job, around)], np.uint32)
    probability, mask = read_probability(job.probability, around), _inside(job, around)
    if job.objects:
        fragments = grow_objects(find_inside(probability, mask), _contour(job, around), seeds, job.geometry)
    else:
        distance = membrane_distance(probability, job.geometry, mask)
        fragments = grow_fragments(probability, distance, seeds, job.geometry, mask)
    return _in_output(
        job.out, FRAGMENTS, write_block(job.out / FRAGMENTS, block, np.ascontiguousarray(fragments[within(block, around)]))
    )


def write_edges(job: Job, block: Block, number: int) -> Written:
    """One task: the edges of the graph whose faces begin in a block."""
    ends = (min(high + 1, n) for (_, high), n in zip((block.z, block.y, block.x), job.shape, strict=True))
    z, y, x = ((low, end) for (low, _), end in zip((block.z, block.y, block.x), ends, strict=True))
    reached = Block(block.z if job.geometry.flat else z, y, x)
    fragments = read_region(job.out / FRAGMENTS, 0, reached)
    edges = region_edges(fragments, read_probability(job.probability, reached), block.shape, job.geometry)
    edges.save(file := job.out / GRAPH / EDGES / f"{number}.npy")
    return written(job.out, file)


def write_overlaps(job: Job, block: Block, number: int) -> Written:
    """One task: how fragments of a section overlap with those of the next, in a block."""
    next_one = Block((block.z[1], block.z[1] + 1), block.y, block.x)
    here, there = (read_region(job.out / FRAGMENTS, 0, place) for place in (block, next_one))
    table = Overlaps.of(there, here)
    np.save(file := job.out / GRAPH / OVERLAPS / f"{number}.npy", np.stack([table.truth, table.segment, table.count]))
    return written(job.out, file)


def write_cells(out: Path, block: Block) -> Written:
    """One task: a shard of the result."""
    await_files(out / GRAPH / CELLS)
    cells = np.load(out / GRAPH / CELLS, mmap_mode="r")
    return write_block(out, block, cells[read_region(out / FRAGMENTS, 0, block)])


def _read_seeds(job: Job, region: Block) -> NDArray[np.int64]:
    """The seeds of a region of the volume, each with the label that its block gave it, made different from those of all others."""
    await_files(job.out / SEEDS / OFFSETS)
    offsets = np.load(job.out / SEEDS / OFFSETS)
    seeds = read_region(job.out / SEEDS, 0, region).astype(np.int64)
    blocks = np.ix_(*(np.arange(*span) // side for span, side in zip((region.z, region.y, region.x), job.side, strict=True)))
    found: NDArray[np.int64] = np.where(seeds > 0, seeds + offsets[blocks], 0)
    return found


def _inside(job: Job, block: Block) -> NDArray[np.bool_] | None:
    """What no mask leaves out, and no space between cells."""
    cellular = None if job.space is None else read_probability(job.space, block) < HALF
    if job.mask is None:
        return cellular
    kept: NDArray[np.bool_] = ~read_mask(job.mask, block, job.voxel_size_nm, job.origin_nm)
    return kept if cellular is None else kept & cellular


def _contour(job: Job, block: Block) -> NDArray[np.float32] | None:
    return None if job.contour is None else read_probability(job.contour, block)


def _told(probability: Path) -> tuple[bool, Path | None, Path | None]:
    """Whether a volume tells of objects, where their contour lies, and where the space outside of cells.

    ParameterError where it tells neither membrane nor objects.
    """
    root, *others = told_channels(probability)
    if root.target in ("distance", "extracellular"):
        raise ParameterError(
            f"{probability} tells {root.target} alone; needed: membrane, foreground or cleft. Train with --target foreground too."
        )
    below = {channel.target: probability / channel.group for channel in others}
    objects = root.target in ("foreground", "cleft")
    return objects, below.get("contour") if objects else None, below.get("extracellular")


def _in_output(out: Path, folder: str, made: Written, *files: Path) -> Written:
    """Files of a volume within the output, and others, by their names in the output."""
    return Written({f"{folder}/{name}": value for name, value in made.files.items()} | written(out, *files).files)


def _plan(job: Job) -> Plan:
    """Memory: what a worker holds of a block with its halo; measured. Disk: as if labels could be packed to a byte a voxel."""
    voxels = prod(job.shape)
    grid = [-(-n // s) for n, s in zip(job.shape, job.side, strict=True)]
    block = [min(n, s) for n, s in zip(job.shape, job.side, strict=True)]
    around = prod(min(n, s + 2 * h) for n, s, h in zip(job.shape, block, halos(job.geometry), strict=True))
    seconds = around / 6e6
    work = Load(prod(grid), 120_000_000 + (21 if job.geometry.flat else 25) * around, seconds)
    shard = prod(min(n, s) for n, s in zip(job.shape, shard_shape(4), strict=True)) * 4
    write = Load(-(-voxels * 4 // shard), memory_to_write(shard), shard / 100e6)
    return Plan(60_000_000, voxels * 3, 1.0, stages=(work, write))
