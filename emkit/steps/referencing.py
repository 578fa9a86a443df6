"""The dark reference of a detector, from raw frames without a beam. Axis order is (ky, kx)."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from emkit import count
from emkit.errors import DataError
from emkit.io.sectors import RawScan, open_sectors
from emkit.params import Reads, Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

DARK, NOISE, BAD = FILES = ("dark.npy", "noise.npy", "bad.npy")


@dataclass(frozen=True)
class ReferenceReport:
    """What the detector reads without a beam."""

    frames: int
    frame_shape: tuple[int, int]
    mean_adu: float
    noise_adu: float
    bad_pixels: int

    def __str__(self) -> str:
        height, width = self.frame_shape
        told = f"{self.frames} frames of {height} x {width} px: {self.mean_adu:.2f} ± {self.noise_adu:.2f} ADU"
        return f"{told}, {self.bad_pixels} bad pixels"


@step
def build_reference(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("folder")],
    scan_shape: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None,
    samples: Annotated[int, Ge(2)] = 200,
) -> Body[ReferenceReport]:
    """Build the dark reference from raw frames that were recorded without a beam.

    Per pixel the mean and the noise, without values that are far off, as of stray electrons; a pixel is bad if it stands out
    from all others, or never changes. Writes dark.npy (for count-scan --dark), noise.npy and bad.npy.

    Parameters
    ----------
    source
        Folder of raw files, versions 1 to 5.
    out
        Folder of the reference.
    scan_shape
        Lines and positions in a line, where the files do not tell it.
    samples
        Whole frames that are used, at most; evenly spread.
    """
    raw = open_sectors(source, scan_shape=scan_shape)
    whole = np.flatnonzero(raw.complete)
    if len(whole) < 2:
        raise DataError(f"{source} has {len(whole)} whole frames; a reference needs two at least. {raw.report()}")
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, min(samples, len(whole))).astype(int))]
    pixels = prod(raw.frame_shape)
    load = Load(1, len(chosen) * pixels * 21, len(chosen) * pixels * 1.2e-7)
    yield Plan(27_000_000, pixels * 9, 0.2, stages=(load,))
    out.mkdir(exist_ok=True)
    yield from stage("reference", average, {"all": (raw, tuple(map(int, chosen)), out)})
    dark, noise, bad = (np.load(out / name) for name in FILES)
    return ReferenceReport(len(chosen), raw.frame_shape, float(dark[~bad].mean()), float(noise[~bad].mean()), int(bad.sum()))


def average(raw: RawScan, chosen: tuple[int, ...], out: Path) -> Written:
    """One task: the reference from these frames."""
    found = count.build_reference(raw.read(chosen))
    for name, array in zip(FILES, (found.mean, found.noise, found.bad), strict=True):
        np.save(out / name, array)
    return written(out, *(out / name for name in FILES))
