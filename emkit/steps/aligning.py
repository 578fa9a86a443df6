"""Sections to an aligned volume: match neighbours, go around failed pairs, place, render. Axis order is (z, y, x)."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from emkit import align
from emkit.align.placement import around_all, rejoined
from emkit.align.report import FILE_NAME
from emkit.align.stacking import ROUNDS, solve_affines, trusted_pairs
from emkit.align.windows import WINDOW_PX, PairSums, sums_of_pair
from emkit.blocks import Block, pyramid
from emkit.errors import ParameterError
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
def align_sections(
    source: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path, Writes("volume")],
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive], Unit("nm")],
    max_shift_px: Annotated[int, Unit("px"), Gt(0)] = 200,
    snr_threshold: Annotated[float, Ge(0)] | None = None,
    exclude: tuple[Annotated[int, Ge(0)], ...] = (),
    canvas: Literal["source", "all"] = "source",
    allow_gaps: bool = False,
) -> Body[align.AlignmentReport]:
    """Align serial sections by one affine each and write them as a volume.

    Neighbours are matched by whitened correlation of patches with a robust affine fit and composed to a common space, where all
    sections are refined at once by what near ones share; they are rendered once, by cubic splines. A pair whose signal to noise
    ratio (SNR) is low is flagged, and matched around where possible. Every section is in the volume: one that is excluded, or
    that nothing matches, lies where its neighbours say. The volume holds the report as alignment.json.

    Parameters
    ----------
    source
        Folder of TIFF or PNG sections, in natural order of their names.
    out
        The volume, OME-Zarr.
    voxel_size_nm
        Section thickness, pixel height, pixel width.
    max_shift_px
        How far the middle of a section may lie from that of its neighbour.
    snr_threshold
        Pairs below are flagged and not relied on; left out, it is calibrated for the size of the sections.
    exclude
        Sections, counted from 0, that are not to be matched.
    canvas
        The volume's y and x: as large as a section, or so that all of every section is in it.
    allow_gaps
        Go on although section numbers are missing.
    """
    stack = open_stack(source, allow_gaps=allow_gaps)
    count = len(stack.files)
    if wrong := [z for z in exclude if z >= count]:
        raise ParameterError(f"exclude: found section {wrong[0]}, but {source} holds sections 0 to {count - 1}.")
    threshold = align.calibrated_threshold(stack.shape) if snr_threshold is None else snr_threshold
    yield _plan(stack, voxel_size_nm)

    used = [z for z in range(count) if z not in exclude]
    depths = align.section_depths([file.number for file in stack.files], stack.gaps)

    def tasks(pairs: Iterable[tuple[int, int]]) -> dict[str, tuple[Stack, int, int, int, float, int]]:
        return {f"{i}-{j}": (stack, i, j, depths[j] - depths[i], threshold, max_shift_px) for i, j in pairs}

    found = yield from stage("match", match_sections, tasks(pairwise(used)), "pairs")
    around = align.bridges([(pair.fixed, pair.moving) for pair in found.values() if pair.flagged], used)
    more = yield from stage("bridge", match_sections, tasks(around), "pairs")
    pairs = tuple(sorted((*found.values(), *more.values()), key=lambda pair: (pair.fixed, pair.moving)))
    placed = align.place_sections(count, align.links(pairs), stack.shape)
    linked = [z for z in used if placed.linked[z]]
    compared = trusted_pairs(linked, align.links(pairs), [(pair.fixed, pair.moving) for pair in pairs if pair.flagged])
    for again in range(1, ROUNDS + 1):
        affines = placed.affines
        asked = {f"{i}-{j}": (stack, i, j, (affines[i], affines[j]), placed.shape) for i, j in compared}
        said = yield from stage(f"refine {again}", compare_sections, asked, "pairs")
        sums = {pair: said["{}-{}".format(*pair)] for pair in compared}
        steps = solve_affines(count, {pair: one.equations for pair, one in sums.items()}, placed.shape)
        better = [affine.compose(step) for affine, step in zip(affines, steps, strict=True)]
        placed = replace(placed, affines=rejoined(better, linked) if linked else affines)
    if canvas == "all":
        placed = around_all(placed, stack.shape)

    create_volume(out, shape=(count, *placed.shape), dtype=stack.dtype, voxel_size_nm=voxel_size_nm)
    blocks = {str(block): (stack, placed.affines, out, block) for block in shard_grid(out)}
    made = files_of((yield from stage("render", render_block, blocks, "blocks")))
    for level in levels_to_build(out):
        coarser = {str(block): (out, level, block, finer) for block, finer in blocks_to_build(out, level, made)}
        made = files_of((yield from stage(f"level {level}", build_block, coarser, "blocks")))

    names = [file.path.name for file in stack.files]
    report = align.AlignmentReport.of(voxel_size_nm, threshold, align.patch_window(stack.shape), names, exclude, placed, pairs)
    (out / FILE_NAME).write_text(report.as_json())
    return report


def match_sections(stack: Stack, i: int, j: int, distance: int, threshold: float, max_shift_px: int) -> align.PairQuality:
    """One task: match two sections of the stack."""
    reach = max_shift_px * distance
    match = align.match_pair(read_section(stack, i), read_section(stack, j), reach)
    return align.judge_match(match, i, j, shape=stack.shape, threshold=threshold, max_shift_px=reach, distance=distance)


def compare_sections(stack: Stack, i: int, j: int, affines: tuple[Affine, Affine], shape: tuple[int, int]) -> PairSums:
    """One task: what two sections say of their affines, over the canvas of ``shape``."""
    return sums_of_pair(read_section(stack, i), read_section(stack, j), affines, shape)


def render_block(stack: Stack, affines: tuple[Affine, ...], out: Path, block: Block) -> Written:
    """One task: the pixels of one block, section by section."""
    pixels = np.empty(block.shape, stack.dtype)
    start, shape = (block.y[0], block.x[0]), block.shape[1:]
    for k, z in enumerate(range(*block.z)):
        pixels[k] = align.render_window(read_section(stack, z), affines[z], start, shape)
    return write_block(out, block, pixels)


def _plan(stack: Stack, voxel_size_nm: SizeNm) -> Plan:
    """A worker holds two sections and their normalised copies, or windows of them, or one block and the section it shows;
    measured."""
    pixels, count, itemsize = prod(stack.shape), len(stack.files), np.dtype(stack.dtype).itemsize
    finest = pyramid((count, *stack.shape), voxel_size_nm, itemsize)[0]
    block = prod(finest.shard) * itemsize
    match = Load(count - 1, 12_000_000 + (2 * itemsize + 28) * pixels, 0.1 + 2.5e-7 * pixels)
    render = Load(prod(finest.shards), memory_to_write(block) + itemsize * pixels, block / itemsize * 1e-7)
    window = min(pixels, WINDOW_PX**2)
    refine = Load(ROUNDS * 2 * count, 12_000_000 + 2 * itemsize * pixels + 120 * window, 0.05 + 2e-7 * pixels)
    return Plan(60_000_000, int(count * pixels * itemsize * 1.4), stages=(match, refine, render))
