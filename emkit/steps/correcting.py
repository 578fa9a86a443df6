"""Cells corrected by hand: two points are merged or split as an edit beside the segmentation; a step makes a volume of it.

Axis order is (z, y, x).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block, shard_shape
from emkit.errors import DamagedError, ParameterError, PathError
from emkit.io.edits import Edit, edits_of, live, new_edit, read_edits, undone, writing
from emkit.io.omezarr import (
    blocks_to_build,
    build_block,
    create_volume,
    levels_to_build,
    memory_to_write,
    read_region,
    read_volume,
    shard_grid,
    write_block,
)
from emkit.io.probabilities import tell_dim, told_dim
from emkit.membrane.edits import Bonds, Change
from emkit.membrane.fragments import Geometry
from emkit.membrane.instances import EdgeSums
from emkit.model import Level, Shape
from emkit.params import Reads, Writes
from emkit.provenance import Written, await_files, files_of
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.steps.segmenting import CELLS, EDGES, FRAGMENTS, GRAPH, LINKS

TABLE = "cells.npy"  # within the unfinished output


@dataclass(frozen=True)
class Correctable:
    """A segmentation with the fragments and the graph that it was cut from; `edits` is the file beside it."""

    path: Path
    full: Level
    bonds: Bonds

    @classmethod
    def open(cls, path: Path) -> "Correctable":
        """PathError where the segmentation has no fragments, or none that can be split again."""
        volume = read_volume(path)
        dim, full = told_dim(path), volume.levels[0]
        if volume.kind != "labels" or dim is None or not (path / GRAPH / CELLS).is_file():
            raise PathError(
                f"{path} holds no fragments; needed: a segmentation that emkit segment made, which keeps in `{FRAGMENTS}` and "
                f"`{GRAPH}` what cells can be merged and split by."
            )
        geometry = Geometry.of(full.voxel_size_nm, 3 if dim == 3 else 2)
        links = np.zeros((0, 3), np.int64)
        if geometry.linked:
            if not (file := path / GRAPH / LINKS).is_file():
                raise PathError(
                    f"{path} does not tell what its cells of sections were linked by; needed: {GRAPH}/{LINKS}, which an earlier "
                    "emkit did not keep. Segment it anew."
                )
            links = np.load(file)
        cells = np.load(path / GRAPH / CELLS).astype(np.int64)
        graph = EdgeSums.load(path / GRAPH / f"{EDGES}.npy")
        return cls(path, full, Bonds.of(cells, graph, links, geometry.anisotropy))

    @property
    def edits(self) -> Path:
        return edits_of(self.path)

    def fragment_at(self, point: Shape) -> int:
        """The fragment at a voxel (z, y, x). ParameterError outside of the volume, and where there is none."""
        where = f"({point[0]}, {point[1]}, {point[2]})"
        if not all(0 <= at < size for at, size in zip(point, self.full.shape, strict=True)):
            z, y, x = self.full.shape
            raise ParameterError(f"{where} lies outside of {self.path.name}, which is {z} x {y} x {x} voxels (z, y, x).")
        z, y, x = point
        found = int(read_region(self.path / FRAGMENTS, 0, Block((z, z + 1), (y, y + 1), (x, x + 1)))[0, 0, 0])
        if not found:
            raise ParameterError(f"At {where} is no cell in {self.path.name}: it was left out. Take a point within a cell.")
        return found

    def cells(self, edits: Sequence[Edit]) -> NDArray[np.uint32]:
        """Of each fragment (index 0 is none) the cell, after these edits."""
        return self.bonds.edited(self._changes(edits)).astype(np.uint32)

    def edit(self, kind: Literal["merge", "split"], one: Shape, other: Shape) -> tuple[int, Edit]:
        """Merge the cells of two points, or split the cell of both between them; the number of the edit, and the edit.

        ParameterError where the points do not lie so that it can be done.
        """
        a, b = self.fragment_at(one), self.fragment_at(other)
        with writing(self.edits) as pen:
            changes = self._changes(pen.edits)
            cells = self.bonds.edited(changes)
            if kind == "merge" and cells[a] == cells[b]:
                raise ParameterError(f"Nothing to merge: both points lie in cell {cells[a]} already.")
            if kind == "split" and cells[a] != cells[b]:
                raise ParameterError(f"Nothing to split: the points lie in two cells already, {cells[a]} and {cells[b]}.")
            if kind == "split" and a == b:
                raise ParameterError(
                    f"Both points lie in fragment {a}, which is never cut. Take points further apart; if cells meet within a "
                    "fragment, the probability of membrane has a hole there: paint the membrane and train again."
                )
            pairs = ((a, b),) if kind == "merge" else self.bonds.least_cut(changes, a, b)
            edit = new_edit(kind, (one, other), pairs)
            return pen.add(edit), edit

    def undo(self, number: int | None = None) -> tuple[int, Edit]:
        """As if an edit had never been: that of a number, by default the last one of this account that holds."""
        with writing(self.edits) as pen:
            edit = new_edit("undo", undoes=number)
            if number is None:
                mine = [n for n in live(pen.edits) if pen.edits[n - 1].author == edit.author]
                if not mine:
                    raise ParameterError(f"Nothing to undo: {self.edits.name} holds no edit by {edit.author} that holds.")
                edit = new_edit("undo", undoes=mine[-1])
            elif not 0 < number <= len(pen.edits):
                raise ParameterError(f"There is no edit {number}: {self.edits.name} holds {len(pen.edits)}.")
            elif number in undone(pen.edits):
                raise ParameterError(f"Edit {number} is undone already. Undo that, to have it again.")
            return pen.add(edit), edit

    def _changes(self, edits: Sequence[Edit]) -> list[Change]:
        changes = [Change(edits[n - 1].kind == "merge", edits[n - 1].pairs) for n in live(edits)]
        largest = max((max(pair) for change in changes for pair in change.pairs), default=0)
        if largest >= len(self.bonds.cells):
            raise DamagedError(
                f"{self.edits} names fragment {largest}, but {self.path} has {len(self.bonds.cells) - 1}: these are edits of "
                "another segmentation. Move the file away, or take it to where it belongs."
            )
        return changes


@dataclass(frozen=True)
class EditReport:
    """What was applied: how many merges and splits hold, and how many cells there were before and are now."""

    merges: int
    splits: int
    before: int
    cells: int

    def __str__(self) -> str:
        return f"{self.merges} merges and {self.splits} splits made {self.cells} cells of {self.before}"


@step
def apply_edits(
    segmentation: Annotated[Path, Reads("volume")],
    edits: Annotated[Path, Reads("table")],
    *,
    out: Annotated[Path, Writes("volume")],
) -> Body[EditReport]:
    """Write a segmentation as its edits say, as a volume of its own.

    The segmentation and its edits stay as they are; edits go on there. What is written can be scored, meshed and exported.

    Parameters
    ----------
    segmentation
        The labels that emkit segment made.
    edits
        Its edits: NAME.ome.zarr.edits.jsonl beside it.
    out
        The result: OME-Zarr labels. Cells that no edit touched keep their numbers.
    """
    opened, told = Correctable.open(segmentation), read_edits(edits)
    cells = opened.cells(told)
    yield _plan(opened.full.shape, len(cells))

    full, held = opened.full, [told[number - 1].kind for number in live(told)]
    create_volume(out, shape=full.shape, dtype="uint32", voxel_size_nm=full.voxel_size_nm, origin_nm=full.origin_nm, kind="labels")
    tell_dim(out, told_dim(segmentation) or 3)
    np.save(out / TABLE, cells)
    blocks = {str(block): (segmentation, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("cells", write_edited, blocks, "blocks")))
    for level in levels_to_build(out):
        coarser = {str(block): (out, level, block, finer) for block, finer in blocks_to_build(out, level, made)}
        made = files_of((yield from stage(f"level {level}", build_block, coarser, "blocks")))
    (out / TABLE).unlink(missing_ok=True)
    return EditReport(held.count("merge"), held.count("split"), opened.bonds.count, len(np.unique(cells[1:])))


def write_edited(segmentation: Path, out: Path, block: Block) -> Written:
    """One task: a shard of the result."""
    await_files(out / TABLE)
    cells = np.load(out / TABLE, mmap_mode="r")
    return write_block(out, block, cells[read_region(segmentation / FRAGMENTS, 0, block)])


def _plan(shape: Shape, fragments: int) -> Plan:
    """Memory: the graph in the driver; in a worker a shard of fragments and of cells. Disk: as segment."""
    shard = prod(min(n, s) for n, s in zip(shape, shard_shape(4), strict=True)) * 4
    write = Load(-(-prod(shape) * 4 // shard), memory_to_write(shard) + shard, shard / 100e6)
    return Plan(60_000_000 + 200 * fragments, prod(shape) * 3, 1.0, stages=(write,))
