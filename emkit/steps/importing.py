"""An alignment that another program made, as a volume. Axis order is (z, y, x); points are (y, x), px, centres at integers."""

from dataclasses import replace
from math import prod
from pathlib import Path, PurePath
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from emkit import align
from emkit.align.placement import Placement, around_all
from emkit.align.report import FILE_NAME
from emkit.blocks import Block, pyramid
from emkit.errors import ParameterError
from emkit.io.alignments.formats import Program, by_name, read_placed
from emkit.io.alignments.placed import PlacedStack, match_names
from emkit.io.omezarr import (
    blocks_to_build,
    build_block,
    create_volume,
    levels_to_build,
    memory_to_write,
    shard_grid,
    write_block,
)
from emkit.io.sections import open_stack, read_section
from emkit.model import SizeNm, Stack
from emkit.params import Positive, Reads, Unit, Writes
from emkit.provenance import Written, files_of
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.transforms import Affine


@step
def import_alignment(
    project: Annotated[Path, Reads("table")],
    source: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path, Writes("volume")],
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive], Unit("nm")] | None = None,
    made_by: Program = "by-name",
    alignment: str | None = None,
    level: Annotated[int, Ge(1)] | None = None,
    canvas: Literal["source", "all"] = "source",
) -> Body[align.AlignmentReport]:
    """Make a volume of sections as another program aligned them.

    Each section is rendered once, by the affine that the file tells. The volume holds the alignment as alignment.json, as
    align-sections writes it, with the SNR that the program measured; no pair is judged by it: run measure-alignment for that.

    Parameters
    ----------
    project
        The file of the other program: a project, or a list of transforms.
    source
        Folder of the sections, TIFF or PNG, in full size.
    out
        The volume, OME-Zarr.
    voxel_size_nm
        Section thickness, pixel height, pixel width; left out, as the file tells it.
    made_by
        Which program. By its name, NAME.swiftir and NAME.align are of AlignEM-SWiFT, NAME.jser is of PyReconstruct, NAME.xml of
        TrakEM2, NAME.lst the list of images whose maps by AlignTK lie beside it, NAME.mir a script for mir of SWiFT-IR,
        zarr.json an OME-Zarr 0.6 scene, and NAME.txt holds a line n a b tx c d ty for each section, px, as PyReconstruct imports
        it.
    alignment
        Of PyReconstruct: the name of the alignment; left out, the one that is open.
    level
        Of AlignEM-SWiFT: take the alignment of images shrunk so many times; left out, of the finest that is aligned.
    canvas
        The volume's y and x: as large as a section, or so that all of every section is in it.
    """
    stack = open_stack(source, allow_gaps=True)
    placed = read_placed(project, by_name(project, made_by, "project"), stack.shape, level, alignment)
    stack = in_order(project, placed, stack)
    names = [file.path.name for file in stack.files]
    if odd := [section for section in placed.sections if section.shape not in (None, stack.shape)]:
        raise ParameterError(
            f"source: its sections have {stack.shape} px (y, x), but {project} tells {odd[0].shape} of {odd[0].file}. "
            "Give the sections in the size that was aligned."
        )
    size_nm = voxel_size_nm or placed.voxel_size_nm
    if size_nm is None:
        raise ParameterError(f"voxel_size_nm is missing: {project} does not tell it. Give z, y, x in nm.")
    yield _plan(stack, size_nm)

    shown = Placement(tuple(section.affine for section in placed.sections), (True,) * len(names), stack.shape)
    if canvas == "all":
        shown = around_all(shown, stack.shape)
    create_volume(out, shape=(len(names), *shown.shape), dtype=stack.dtype, voxel_size_nm=size_nm)
    blocks = {str(block): (stack, shown.affines, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("render", render_block, blocks, "blocks")))
    for coarser in levels_to_build(out):
        tasks = {str(block): (out, coarser, block, finer) for block, finer in blocks_to_build(out, coarser, made)}
        made = files_of((yield from stage(f"level {coarser}", build_block, tasks, "blocks")))

    window, excluded = align.patch_window(stack.shape), [z for z, section in enumerate(placed.sections) if section.excluded]
    report = align.AlignmentReport.of(size_nm, 0.0, window, names, excluded, shown, told_pairs(placed))
    (out / FILE_NAME).write_text(report.as_json())
    return report


def in_order(project: Path, placed: PlacedStack, stack: Stack) -> Stack:
    """The images as the alignment names them, or as they follow where it names none. DataError if they are not the same."""
    by_stem = {file.path.stem: file for file in stack.files}
    told = [PurePath(section.file).stem for section in placed.sections]
    if any(told) and set(told) == by_stem.keys():
        return replace(stack, files=tuple(by_stem[stem] for stem in told))
    match_names(project, [section.file for section in placed.sections], [file.path.name for file in stack.files])
    return stack


def render_block(stack: Stack, affines: tuple[Affine, ...], out: Path, block: Block) -> Written:
    """One task: the pixels of one block, section by section."""
    pixels = np.empty(block.shape, stack.dtype)
    for k, z in enumerate(range(*block.z)):
        pixels[k] = align.render_window(read_section(stack, z), affines[z], (block.y[0], block.x[0]), block.shape[1:])
    return write_block(out, block, pixels)


def told_pairs(placed: PlacedStack) -> tuple[align.PairQuality, ...]:
    """What the program found of its pairs; it has measured no more than the SNR, in its own windows."""
    pairs = (
        align.PairQuality(
            fixed=section.reference,
            moving=z,
            snr=float(np.mean(section.snr)),
            snr_threshold=0.0,
            whole_snr=0.0,
            residual_px=None,
            inliers=0.0,
            displacement_px=None,
            affine=section.match.rows,
            flagged=False,
            reasons=(),
        )
        for z, section in enumerate(placed.sections)
        if section.reference is not None and section.match is not None and section.snr
    )
    return tuple(sorted(pairs, key=lambda pair: (pair.fixed, pair.moving)))


def _plan(stack: Stack, voxel_size_nm: SizeNm) -> Plan:
    """A worker holds one block and the section it shows; measured."""
    pixels, count, itemsize = prod(stack.shape), len(stack.files), np.dtype(stack.dtype).itemsize
    finest = pyramid((count, *stack.shape), voxel_size_nm, itemsize)[0]
    block = prod(finest.shard) * itemsize
    render = Load(prod(finest.shards), memory_to_write(block) + itemsize * pixels, block / itemsize * 1e-7)
    return Plan(60_000_000, int(count * pixels * itemsize * 1.4), stages=(render,))
