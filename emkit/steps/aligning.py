"""Sections to an aligned volume: match neighbours, go around failed pairs, place, render. Axis order is (z, y, x)."""

import shutil
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from emkit import align
from emkit.align.placement import around_all, rejoined, seen_from
from emkit.align.preparing import Contrast, Preparing
from emkit.align.remedies import Remedies
from emkit.align.report import FILE_NAME
from emkit.align.stacking import ROUNDS, solve_affines, trusted_pairs
from emkit.align.windows import WINDOW_PX, PairSums, sums_of_pair
from emkit.errors import ParameterError
from emkit.io.omezarr import (
    create_volume,
)
from emkit.io.sections import open_stack, read_section
from emkit.io.spool import SPOOL, Spool
from emkit.model import SizeNm, Stack
from emkit.params import Positive, Reads, Unit, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.steps.bending import WORK, Bending, bend_sections, planned
from emkit.steps.judging import check_stack, judge_stack
from emkit.steps.matching import Pairing
from emkit.steps.pinning import pin_placed, read_landmarks
from emkit.steps.preparing import PREPARED, check, prepare_stack
from emkit.steps.rendering import Shown, decode, disk_bytes, loads, render_volume
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
    remedies: tuple[str, ...] = (),
    model: Literal["affine", "elastic"] = "affine",
    contrast: Contrast = "as-imaged",
    artefact_grey: tuple[float, float] | None = None,
    downscale: Annotated[int, Ge(1)] = 1,
    fixed_section: Annotated[int, Ge(0)] | None = None,
    landmarks: Annotated[Path | None, Reads("table")] = None,
    flip_mirrored: bool = False,
    canvas: Literal["source", "all"] = "source",
    allow_gaps: bool = False,
) -> Body[align.AlignmentReport]:
    """Align serial sections, by an affine each or elastically, and write them as a volume.

    Neighbours are matched by whitened correlation of patches with a robust affine fit and composed to a common space, where all
    sections are refined at once by what near ones share, and may then bend; they are rendered once, by cubic splines. A pair whose
    signal to noise ratio (SNR) is low is flagged, and matched around where possible. Every section is in the volume: one that is
    excluded, or that nothing matches, lies where its neighbours say. The volume holds the report as alignment.json.

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
    remedies
        What is to be done otherwise with single sections, such as 7:window=64, 7:whitening=0.35, 7:clobber=3, 7:search=900,
        7:flip, 7:swap=8 or 6-7:points=Y/X@Y/X+Y/X@Y/X+Y/X@Y/X.
    model
        Affine: each section is shifted, turned, scaled and sheared as a whole. Elastic: it then bends, smoothly.
    contrast
        What sections are matched by: as they were imaged, with their local mean and contrast evened, or after contrast-limited
        adaptive histogram equalisation. They are rendered as they were imaged.
    artefact_grey
        Darkest and brightest grey of tissue: pixels beyond are dirt, folds or holes, and are not matched.
    downscale
        Match sections shrunk by this factor, and bend them by as much less detail; they are rendered at full resolution.
    fixed_section
        The section that stays as it was imaged: all others are laid on it. Left out, the stack stays where it was on average.
    landmarks
        CSV with the columns section, y, x, target_y, target_x: places in sections, counted from 0, and where they are to lie in the
        volume, all in px as imaged. They choose the map that all sections share: one a shift, two a turn and scale too, three or
        more an affine.
    flip_mirrored
        Turn over sections that match face down only. Left out, they are named, and lie where their neighbours say.
    canvas
        The volume's y and x: as large as a section, or so that all of every section is in it, but for what it bends by.
    allow_gaps
        Go on although section numbers are missing.
    """
    stack = open_stack(source, allow_gaps=allow_gaps)
    count = len(stack.files)
    if wrong := [z for z in exclude if z >= count]:
        raise ParameterError(f"exclude: found section {wrong[0]}, but {source} holds sections 0 to {count - 1}.")
    if fixed_section is not None and (fixed_section >= count or fixed_section in exclude):
        raise ParameterError(
            f"fixed_section: found {fixed_section}; needed: one of sections 0 to {count - 1} that is not excluded."
        )
    if landmarks is not None and (fixed_section is not None or canvas == "all"):
        other = "canvas all" if fixed_section is None else f"fixed_section {fixed_section}"
        raise ParameterError(f"landmarks: found also {other}; needed: one of the two, each says where the volume lies.")
    pins = [] if landmarks is None else read_landmarks(landmarks, count, exclude)
    asked = Remedies.of(remedies, count)
    preparing = Preparing(contrast, artefact_grey, downscale)
    check(preparing, stack)
    yield _plan(stack, voxel_size_nm, model, downscale)

    depths = tuple(align.section_depths([file.number for file in stack.files], stack.gaps))
    numbers = asked.order  # of the files, by their place in the stack
    stack = replace(stack, files=tuple(stack.files[number] for number in numbers))
    used = [z for z in range(count) if numbers[z] not in exclude]

    prepared = yield from prepare_stack(stack, numbers, preparing, out, voxel_size_nm)
    pairing = Pairing(stack, prepared, preparing, asked, depths, max_shift_px, snr_threshold)
    chain = yield from pairing.chain(used)
    check_stack(source, chain.pairs, chain.linked)
    mirrored = yield from pairing.mirrored([z for z in used if z not in chain.linked], chain.linked)
    flipped = mirrored if flip_mirrored else ()
    if flipped:
        known = {pair: one for pair, one in chain.matched.items() if not {*pair} & {*flipped}}
        chain = yield from pairing.flipping(flipped).chain(used, known, " again")
    turned = yield from pairing.turned_over(() if flipped else mirrored)
    shared = {pair: one.shared for pair, one in (*chain.matched.items(), *turned.items())}
    verdicts = yield from judge_stack(stack, numbers, shared)
    pairs, placed, linked = chain.pairs, chain.placed, chain.linked
    trusted = trusted_pairs(linked, align.links(pairs), [(pair.fixed, pair.moving) for pair in pairs if pair.flagged])
    for again in range(1, ROUNDS + 1):
        affines = placed.affines
        refining = {f"{i}-{j}": (prepared, i, j, (affines[i], affines[j]), placed.shape, downscale) for i, j in trusted}
        said = yield from stage(f"refine {again}", compare_sections, refining, "pairs")
        sums = {pair: said["{}-{}".format(*pair)] for pair in trusted}
        steps = solve_affines(count, {pair: one.equations for pair, one in sums.items()}, placed.shape)
        better = [affine.compose(step) for affine, step in zip(affines, steps, strict=True)]
        placed = replace(placed, affines=rejoined(better, linked) if linked else affines)
    still = None if fixed_section is None else numbers.index(fixed_section)
    if still is not None:
        placed = seen_from(placed, still)
    off_px = None
    if pins:
        affines, off = pin_placed(placed, pins, numbers)
        placed, off_px = replace(placed, affines=affines), float(np.median(off))
    if canvas == "all":
        placed = around_all(placed, stack.shape)

    sections = Spool(stack, folder=out / SPOOL)
    yield from decode(sections)
    seen = sections if prepared is stack else Spool(prepared, folder=out / SPOOL)
    bending = Bending(seen, linked, tuple(trusted), placed.shape, out, downscale, still)
    if model == "elastic":
        yield from bend_sections(bending, placed.affines)
    create_volume(out, shape=(count, *placed.shape), dtype=stack.dtype, voxel_size_nm=voxel_size_nm)
    spacing_px = bending.spacing_px if model == "elastic" else None
    yield from render_volume(Shown(sections, placed.affines, out, spacing_px), out)

    names = [file.path.name for file in stack.files]
    threshold = align.calibrated_threshold(prepared.shape) if snr_threshold is None else snr_threshold
    excluded = set(range(count)).difference(used)
    report = align.AlignmentReport.of(
        voxel_size_nm, threshold, align.patch_window(prepared.shape), names, excluded, placed, pairs, verdicts, numbers
    )
    report = replace(report, mirrored=() if flipped else mirrored, flipped=flipped, landmarks=len(pins), landmarks_off_px=off_px)
    if spacing_px:
        report = report.bent(spacing_px)
    (out / FILE_NAME).write_text(report.as_json())
    for work in (SPOOL, PREPARED, WORK):
        shutil.rmtree(out / work, ignore_errors=True)
    return report


def compare_sections(stack: Stack, i: int, j: int, affines: tuple[Affine, Affine], shape: tuple[int, int], shrunk: int) -> PairSums:
    """One task: what two sections, ``shrunk`` already, say of their affines, over the canvas of ``shape``."""
    return sums_of_pair(read_section(stack, i), read_section(stack, j), affines, shape, shrunk)


def _plan(stack: Stack, voxel_size_nm: SizeNm, model: str, downscale: int) -> Plan:
    """A worker holds a section and what is told of it, two with their normalised copies, or what rendering needs; measured."""
    pixels, count, itemsize = prod(stack.shape), len(stack.files), np.dtype(stack.dtype).itemsize
    match = Load(count - 1, 12_000_000 + (2 * itemsize + 15) * pixels, 0.1 + 2.5e-7 * pixels)
    look = Load(count, 12_000_000 + (2 * itemsize + 28) * pixels, 0.05 + 1e-7 * pixels)
    window = min(pixels, WINDOW_PX**2)
    refine = Load(ROUNDS * 2 * count, 12_000_000 + 2 * itemsize * pixels + 54 * window, 0.05 + 2e-7 * pixels)
    bending, kept = planned(stack.shape, count, itemsize, downscale) if model == "elastic" else ((), 0)
    kept += count * pixels * itemsize // downscale**2
    shape = (count, *stack.shape)
    rendering = loads(stack, shape, voxel_size_nm)
    driver = 60_000_000 + 90_000 * count  # what pairs told is held
    return Plan(driver, disk_bytes(stack, shape) + kept, stages=(match, look, refine, *bending, *rendering))
