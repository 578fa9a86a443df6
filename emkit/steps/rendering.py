"""Sections to a volume, through maps that are known. Axis order is (z, y, x)."""

import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from emkit import align
from emkit.align.fields import read_elastic
from emkit.align.rendering import Interpolation
from emkit.blocks import Block, pyramid
from emkit.errors import ParameterError
from emkit.io.omezarr import (
    blocks_to_build,
    build_block,
    create_volume,
    levels_to_build,
    memory_to_write,
    read_levels,
    shard_grid,
    write_block,
)
from emkit.io.sections import open_stack
from emkit.io.spool import SPOOL, Spool, decode_section
from emkit.model import Shape, SizeNm, Stack
from emkit.params import Reads, Writes
from emkit.provenance import Written, files_of
from emkit.run.plan import Load, Plan
from emkit.run.stage import Stage, stage
from emkit.run.step import Body, step
from emkit.transforms import Affine


@dataclass(frozen=True)
class Shown:
    """What a volume shows: the sections, how they lie, and where their ``fields`` are if they bend, ``shrunk`` in y and x."""

    sections: Spool
    affines: tuple[Affine, ...]
    fields: Path
    spacing_px: float | None
    labels: bool = False
    shrunk: int = 1


@dataclass(frozen=True)
class Rendered:
    """A volume that was rendered."""

    shape: Shape
    voxel_size_nm: SizeNm
    dtype: str

    def __str__(self) -> str:
        size = " x ".join(f"{nm:g}" for nm in self.voxel_size_nm)
        return f"{' x '.join(map(str, self.shape))} voxels (z, y, x) of {size} nm, {self.dtype}"


@step
def render(
    alignment: Annotated[Path, Reads("volume")],
    source: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path, Writes("volume")],
    level: Annotated[int, Ge(0)] = 0,
    labels: bool = False,
) -> Body[Rendered]:
    """Render sections as they were aligned before: others of the same place, labels, or at a coarser level.

    Each section goes through its map once, from its own pixels. A coarser level shows all sections, with y and x shrunk.

    Parameters
    ----------
    alignment
        The volume that align-sections or import-alignment made.
    source
        Folder of TIFF or PNG sections that lie as those did which were aligned: they, or images or labels of the same size.
    out
        The volume, OME-Zarr.
    level
        Resolution: 0 is that of the sections, each further one has half as many pixels in y and in x.
    labels
        The values are numbers of objects: none is rendered that the section does not hold.
    """
    report = align.read_alignment(alignment)
    stack = stack_of(report, open_stack(source, allow_gaps=True), source)
    canvas, shrunk = read_levels(alignment)[0].shape[1:], 2**level
    if min(canvas) < shrunk:
        raise ParameterError(f"level: found {level}, at which the volume of {canvas} px (y, x) is gone; needed: fewer.")
    shape = (len(stack.files), -(-canvas[0] // shrunk), -(-canvas[1] // shrunk))
    thickness, height, width = report.voxel_size_nm
    size_nm = (thickness, height * shrunk, width * shrunk)
    yield _plan(stack, shape, size_nm, shrunk)

    affines = tuple(Affine(section.affine) for section in report.sections)
    shown = Shown(Spool(stack, folder=out / SPOOL), affines, alignment, report.spacing_px, labels, shrunk)
    origin_nm = (0.0, height * (shrunk - 1) / 2, width * (shrunk - 1) / 2)
    kind: Literal["labels", "image"] = "labels" if labels else "image"
    create_volume(out, shape=shape, dtype=stack.dtype, voxel_size_nm=size_nm, origin_nm=origin_nm, kind=kind)
    yield from decode(shown.sections)
    yield from render_volume(shown, out)
    shutil.rmtree(out / SPOOL, ignore_errors=True)
    return Rendered(shape, size_nm, stack.dtype)


def stack_of(report: align.AlignmentReport, found: Stack, source: Path) -> Stack:
    """The sections in the order of the alignment: by their names, or, if others are given, by their place in the folder."""
    by_name = {file.path.name: file for file in found.files}
    if all(section.file in by_name for section in report.sections):
        return replace(found, files=tuple(by_name[section.file] for section in report.sections))
    if len(found.files) != len(report.sections):
        raise ParameterError(
            f"source: {source} holds {len(found.files)} sections, the alignment tells of {len(report.sections)}; needed: as many, "
            "or some of the same names."
        )
    return replace(found, files=tuple(found.files[section.number] for section in report.sections))


def decode(sections: Spool) -> Generator[Stage[Any], Any, None]:
    """In a step: every section can be read in blocks."""
    tasks = {str(z): (sections, z) for z in range(len(sections.stack.files))}
    yield from stage("decode", decode_section, tasks, "sections")


def render_volume(shown: Shown, out: Path, within: str = "") -> Generator[Stage[Any], Any, None]:
    """In a step: all blocks of all levels of a volume that was created: the output, or one ``within`` it."""
    volume = out / within
    blocks = {str(block): (shown, out, within, block) for block in shard_grid(volume)}
    made = files_of((yield from stage("render", render_block, blocks, "blocks")))
    for level in levels_to_build(volume):
        here = {PurePath(name).relative_to(within).as_posix() for name in made}
        finer = blocks_to_build(volume, level, here)
        coarser = {str(block): (out, within, level, block, files) for block, files in finer}
        made = files_of((yield from stage(f"level {level}", build_within, coarser, "blocks")))


def build_within(out: Path, within: str, level: int, block: Block, finer: tuple[Path, ...]) -> Written:
    """One task: a block of a coarser level."""
    return _named(within, build_block(out / within, level, block, finer))


def render_block(shown: Shown, out: Path, within: str, block: Block) -> Written:
    """One task: the pixels of one block, section by section."""
    pixels = np.empty(block.shape, shown.sections.dtype)
    start, shape = (block.y[0], block.x[0]), block.shape[1:]
    way: Interpolation = "nearest" if shown.labels else "cubic"
    for k, z in enumerate(range(*block.z)):
        affine = shown.affines[z]
        mapping = read_elastic(shown.fields, z, affine, shown.spacing_px) if shown.spacing_px else affine
        pixels[k] = align.render_window(shown.sections.section(z), mapping, start, shape, way, shown.shrunk)
    return _named(within, write_block(out / within, block, pixels))


def _named(within: str, made: Written) -> Written:
    """By the names in the output of what was written into a volume ``within`` it."""
    return Written({(PurePath(within) / name).as_posix(): digest for name, digest in made.files.items()})


def loads(stack: Stack, shape: Shape, voxel_size_nm: SizeNm, shrunk: int = 1) -> tuple[Load, ...]:
    """What the stages here need: a worker holds a section to be decoded, or a block and the part of a section that it shows."""
    pixels, itemsize = prod(stack.shape), np.dtype(stack.dtype).itemsize
    finest = pyramid(shape, voxel_size_nm, itemsize)[0]
    block = prod(finest.shard) * itemsize
    part = min(pixels, finest.shard[1] * finest.shard[2] * shrunk**2)
    render = Load(prod(finest.shards), memory_to_write(block) + (itemsize + 16) * part, block / itemsize * 1e-7)
    return Load(len(stack.files), 40_000_000 + 2 * pixels * itemsize, pixels * itemsize / 60e6), render


def disk_bytes(stack: Stack, shape: Shape) -> int:
    """Of the volume, and of the sections that must be decoded."""
    itemsize = np.dtype(stack.dtype).itemsize
    decoded = len(stack.files) * prod(stack.shape) if Spool(stack, folder=Path()).needs_room() else 0
    return int((prod(shape) * 1.4 + decoded) * itemsize)


def _plan(stack: Stack, shape: Shape, voxel_size_nm: SizeNm, shrunk: int) -> Plan:
    return Plan(60_000_000, disk_bytes(stack, shape), stages=loads(stack, shape, voxel_size_nm, shrunk))
