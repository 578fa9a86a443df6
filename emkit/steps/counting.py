"""Raw frames to a counted scan: index the files, estimate thresholds, count. Axis order is (sy, sx, ky, kx)."""

import os
import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from emkit.count import (
    Thresholds,
    check_reference,
    check_thresholds,
    coincidence_of,
    correct_rows,
    count_frames,
    estimate_thresholds,
)
from emkit.count.counting import BATCH_BYTES
from emkit.count.definition import Ties
from emkit.errors import DataError, ParameterError
from emkit.io import counted_zarr
from emkit.io.counted import iter_counted
from emkit.io.counted_parts import EVENTS, Piece, batches, events_of, join_events, join_frames, write_part
from emkit.io.references import read_reference
from emkit.io.sectors import RawScan, open_sectors
from emkit.model import CountedHeader
from emkit.params import Reads, Unit, Writes
from emkit.provenance import Written, written
from emkit.run.machine import give_back_large
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

PARTS = "parts"  # a folder within the unfinished output
FRAMES = 256  # in a task
Rows = Literal["none", "mean", "median"]


@dataclass(frozen=True)
class CountReport:
    """What was counted, with which thresholds, and what was missing."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    electrons: int
    occupancy: float
    background: float
    xray: float
    frames: int
    whole: int
    lost: float
    told: str
    warning: str = ""

    def __str__(self) -> str:
        sy, sx = self.scan_shape
        between = f"{self.background:.2f} < v < {self.xray:.1f} ADU"
        counted = f"{self.electrons:,} electrons at {sy} x {sx} positions ({self.occupancy:.2%} of the pixels), {between}"
        return f"{counted}; about {self.lost:.1%} more were lost to others on the same place\n{self.told}" + (
            f"\n{self.warning}" if self.warning else ""
        )


@step
def count_scan(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("scan")],
    dark: Annotated[Path | None, Reads("table")] = None,
    scan_shape: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None,
    background: Annotated[float | None, Unit("ADU"), Ge(0)] = None,
    xray: Annotated[float | None, Unit("ADU"), Gt(0)] = None,
    background_sigmas: Annotated[float, Gt(0)] = 4.5,
    xray_sigmas: Annotated[float, Gt(0)] = 175.0,
    samples: Annotated[int, Ge(1)] = 200,
    row_dark: Rows = "none",
    ties: Literal["keep", "drop"] = "keep",
) -> Body[CountReport]:
    """Count the electrons in the raw frames of a 4D Camera.

    Every sector of every frame is found by its header; frames that are not whole are counted as far as they are there, flagged and
    told. Thresholds are estimated from a random sample where they are not given. The result is a zarr of events that
    `emkit.io.counted.read_counted` opens; it need not fit into memory. `convert-scan` makes of it what stempy and others read.

    Parameters
    ----------
    source
        Folder of raw files, versions 1 to 5.
    out
        Folder of the counted scan, zarr.
    dark
        The dark reference, .npy of a frame's shape.
    scan_shape
        Lines and positions in a line, where the files do not tell it.
    background
        Pixels at or below are noise; left out, it is estimated.
    xray
        Pixels at or above are X-rays; left out, it is estimated.
    background_sigmas
        How far above the noise the estimated background ends.
    xray_sigmas
        How far above the mean of all pixels the estimated X-ray limit is.
    samples
        Frames that thresholds are estimated from, or checked by where they are given.
    row_dark
        Bring each half row of a frame to the level of the noise, by its mean or its median, where its offset drifts.
    ties
        Of neighbouring pixels with the same value keep one, or drop all as stempy does.
    """
    raw = open_sectors(source, scan_shape=scan_shape)
    reference = read_dark(dark, raw.frame_shape)
    if (background is None) != (xray is None):
        raise ParameterError("background, xray: found one of them; give both, or none to have them estimated.")
    given = Thresholds(background, xray) if background is not None and xray is not None else None
    exact = reference is None or bool((reference == np.floor(reference)).all())
    yield _plan(raw, samples, rows=row_dark != "none", exact=exact)

    chosen = raw.subset(sampled(raw, samples))
    found = yield from stage(
        "thresholds", choose, {"sample": (chosen, dark, given, background_sigmas, xray_sigmas, row_dark != "none")}
    )
    thresholds, level_adu, warning = (choice := found["sample"]).thresholds, choice.level_adu, choice.warning
    out.mkdir(exist_ok=True)
    (out / PARTS).mkdir(exist_ok=True)
    parts = {str(k): range(k, min(k + FRAMES, len(raw.file_of))) for k in range(0, len(raw.file_of), FRAMES)}
    rows = (row_dark, level_adu)
    yield from stage(
        "count", count_part, {k: (raw.subset(part), k, dark, rows, thresholds, ties, out) for k, part in parts.items()}, "parts"
    )
    events = {k: events_of(out / PARTS, k) for k in parts}
    header = CountedHeader(raw.scan_shape, raw.frame_shape, len(raw.file_of), sum(events.values()), thresholds)
    counted_zarr.create(out, header)
    complete = None if raw.complete.all() else raw.complete
    yield from stage("frames", join_counts, {"all": (out, tuple(parts), complete)})
    yield from stage("join", join_part, {str(k): (out, k, pieces) for k, pieces in batches(events).items()}, "parts")
    lost = yield from stage("losses", measure_losses, {"all": (out,)})
    shutil.rmtree(out / PARTS)
    return CountReport(
        scan_shape=raw.scan_shape,
        frame_shape=raw.frame_shape,
        electrons=header.events,
        occupancy=header.events / (header.frames * prod(raw.frame_shape)),
        background=thresholds.background,
        xray=thresholds.xray,
        frames=header.frames,
        whole=int(raw.complete.sum()),
        lost=lost["all"],
        told=raw.report(),
        warning=warning,
    )


@dataclass(frozen=True)
class Choice:
    """Thresholds, the level of the noise (0 if it is not needed), and what is wrong with them."""

    thresholds: Thresholds
    level_adu: float
    warning: str


def sampled(raw: RawScan, samples: int) -> tuple[int, ...]:
    """The frames, at random, that thresholds are estimated from: whole ones. DataError if there are none."""
    whole = np.flatnonzero(raw.complete)
    if not whole.size:
        raise DataError(f"{raw.files[0].parent} has no frame of which all sectors are there: {raw.report()}")
    return tuple(map(int, np.sort(np.random.default_rng(0).choice(whole, min(samples, len(whole)), replace=False))))


def choose(
    raw: RawScan, dark: Path | None, given: Thresholds | None, background_sigmas: float, xray_sigmas: float, level: bool
) -> Choice:
    """One task: thresholds from these frames, or what these frames say to those that were given."""
    reference, everything = read_dark(dark, raw.frame_shape), range(len(raw.file_of))
    frames = raw.read(everything)
    level_adu = estimate_thresholds(frames, samples=len(frames)).noise_mean if level else 0.0
    if given:
        return Choice(given, level_adu, check_thresholds(frames, given, reference))
    found = estimate_thresholds(frames, reference, None, len(frames), background_sigmas, xray_sigmas)
    return Choice(Thresholds(found.background, found.xray, sample=found.sample), level_adu, found.warning)


def count_part(
    raw: RawScan, part: str, dark: Path | None, rows: tuple[Rows, float], thresholds: Thresholds, ties: Ties, out: Path
) -> Written:
    """One task: the events of some frames."""
    by, level_adu = rows
    frames = raw.read(range(len(raw.file_of)))
    if by != "none":
        frames = correct_rows(frames, level_adu, by)
    scan = count_frames(frames, thresholds, read_dark(dark, raw.frame_shape), ties=ties)
    return written(out, *write_part(scan, out / PARTS, part))


def join_counts(out: Path, parts: tuple[str, ...], complete: NDArray[np.bool_] | None) -> Written:
    """One task: the arrays that have a number for each frame."""
    return written(out, *join_frames(out / PARTS, out, parts, complete))


def join_part(out: Path, first: int, pieces: tuple[Piece, ...]) -> Written:
    """One task: some chunks of events."""
    give_back_large()
    return written(out, *join_events(out / PARTS, out, first, pieces))


def measure_losses(out: Path) -> float:
    """One task: which part of the electrons was lost to others, from the image of the detector."""
    give_back_large()
    frames, image = 0, np.zeros((), np.int64)
    for lines in iter_counted(out):
        frames, image = frames + len(lines), image + lines.sum("scan")
    return coincidence_of(image, frames).lost


def read_dark(file: Path | None, frame_shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The dark reference of such frames. DataError if it cannot be read or holds what no dark is, ParameterError if it is of
    another shape."""
    if file is None:
        return None
    check_reference(f"dark: {file}", found := read_reference("dark", file), frame_shape)
    return found


def _plan(raw: RawScan, samples: int, *, rows: bool, exact: bool) -> Plan:
    """Measured. A worker holds some frames, those of a sample, or chunks of events; the driver what there is of each frame.

    Frames are held twice where their rows are corrected, and batches of them in float32 unless the dark is whole. Disk: of 1 %
    occupancy.
    """
    pixels, count = prod(raw.frame_shape), len(raw.file_of)
    events, frames, sample = count * pixels // 100, min(FRAMES, count), min(samples, count)
    moving = 0 if exact else len(os.sched_getaffinity(0)) * BATCH_BYTES
    loads = (
        Load(1, sample * pixels * 2 * (1 + rows) + 30_000_000, sample * pixels * 2e-8),
        Load(-(-count // FRAMES), frames * pixels * 2 * (1 + rows) + moving + 10_000_000, frames * pixels * 1.2e-9),
        Load(-(-events // EVENTS), 60_000_000, EVENTS * 3e-8),
    )
    return Plan(27_000_000 + count * 100, events * 8, 0.5 + count * 2e-5, stages=loads)
