"""Raw frames to a counted scan: index the files, estimate thresholds, count. Axis order is (sy, sx, ky, kx)."""

import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from emkit.count import (
    CountedScan,
    EstimatedThresholds,
    Thresholds,
    count_frames,
    estimate_coincidence,
    estimate_thresholds,
)
from emkit.errors import DataError, ParameterError
from emkit.io.counted import read_counted, write_counted
from emkit.io.sectors import RawScan, open_sectors
from emkit.model import offsets_of
from emkit.params import Reads, Unit, Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

PARTS = "parts"  # a folder within the unfinished output
FRAMES = 256  # in a task


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

    def __str__(self) -> str:
        sy, sx = self.scan_shape
        between = f"{self.background:.2f} < v < {self.xray:.1f} ADU"
        counted = f"{self.electrons:,} electrons at {sy} x {sx} positions ({self.occupancy:.2%} of the pixels), {between}"
        return f"{counted}; about {self.lost:.1%} more were lost to others on the same place\n{self.told}"


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
    ties: Literal["keep", "drop"] = "keep",
) -> Body[CountReport]:
    """Count the electrons in the raw frames of a 4D Camera.

    Every sector of every frame is found by its header; frames that are not whole are counted as far as they are there, flagged and
    told. Thresholds are estimated from a random sample where they are not given. The result is a zarr of events that
    `emkit.io.counted.read_counted` opens; write it as HDF5 for stempy with `write_counted`.

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
        Frames that thresholds are estimated from.
    ties
        Of neighbouring pixels with the same value keep one, or drop all as stempy does.
    """
    raw = open_sectors(source, scan_shape=scan_shape)
    reference = read_dark(dark, raw.frame_shape)
    if (background is None) != (xray is None):
        raise ParameterError("background, xray: found one of them; give both, or none to have them estimated.")
    yield _plan(raw, samples if background is None else 0)

    chosen = sampled(raw, samples)
    if background is None or xray is None:
        found = yield from stage("thresholds", estimate, {"sample": (raw, chosen, reference, background_sigmas, xray_sigmas)})
        thresholds = found["sample"]
    else:
        thresholds = Thresholds(background, xray)
    out.mkdir(exist_ok=True)
    (out / PARTS).mkdir(exist_ok=True)
    starts = range(0, len(raw.file_of), FRAMES)
    yield from stage("count", count_part, {str(k): (raw, k, reference, thresholds, ties, out) for k in starts}, "parts")
    scan = _joined(raw, [read_counted(out / PARTS / str(k)) for k in starts])
    write_counted(scan, out)
    shutil.rmtree(out / PARTS)
    lost = estimate_coincidence(scan).lost
    return CountReport(
        raw.scan_shape, raw.frame_shape, scan.events, scan.occupancy, thresholds.background, thresholds.xray,
        len(raw.file_of), int(raw.complete.sum()), lost, raw.report(),
    )  # fmt: skip


def sampled(raw: RawScan, samples: int) -> tuple[int, ...]:
    """The frames, at random, that thresholds are estimated from: whole ones. DataError if there are none."""
    whole = np.flatnonzero(raw.complete)
    if not whole.size:
        raise DataError(f"{raw.files[0].parent} has no frame of which all sectors are there: {raw.report()}")
    return tuple(map(int, np.sort(np.random.default_rng(0).choice(whole, min(samples, len(whole)), replace=False))))


def estimate(
    raw: RawScan, frames: tuple[int, ...], dark: NDArray[np.float32] | None, background_sigmas: float, xray_sigmas: float
) -> EstimatedThresholds:
    """One task: thresholds from these frames."""
    return estimate_thresholds(raw.read(frames), dark, None, len(frames), background_sigmas, xray_sigmas)


def count_part(
    raw: RawScan, first: int, dark: NDArray[np.float32] | None, thresholds: Thresholds, ties: Literal["keep", "drop"], out: Path
) -> Written:
    """One task: the events of some frames, as a scan of one line."""
    frames = raw.read(range(first, min(first + FRAMES, len(raw.file_of))))
    part = out / PARTS / str(first)
    write_counted(count_frames(frames, thresholds, dark, ties=ties), part)
    return written(out, *(path for path in sorted(part.rglob("*")) if path.is_file()))


def _joined(raw: RawScan, parts: list[CountedScan]) -> CountedScan:
    offsets = offsets_of(np.concatenate([part.counts for part in parts]))
    indices = np.concatenate([part.indices for part in parts])
    complete = None if raw.complete.all() else raw.complete
    return CountedScan(offsets, indices, raw.scan_shape, raw.frame_shape, complete=complete)


def read_dark(file: Path | None, frame_shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The dark reference of such frames. DataError if it cannot be read, ParameterError if it is of another shape."""
    if file is None:
        return None
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as wrong:
        raise DataError(f"dark: {file} cannot be read as .npy ({wrong}).") from None
    if found.shape != frame_shape:
        raise ParameterError(f"dark: {file} has the shape {found.shape}, but frames are {frame_shape}.")
    return np.asarray(found)


def _plan(raw: RawScan, samples: int) -> Plan:
    """A worker holds some frames; the driver all events, here of 1 % occupancy; measured rates."""
    pixels, count = prod(raw.frame_shape), len(raw.file_of)
    loads = [Load(-(-count // FRAMES), FRAMES * pixels * 3, FRAMES * pixels * 1.2e-9)]
    if samples:
        loads.append(Load(1, min(samples, count) * pixels * 20, min(samples, count) * pixels * 2e-8))
    return Plan(60_000_000 + count * pixels // 12, count * pixels // 25, 0.5 + count * 2e-5, stages=tuple(loads))
