"""A synthetic scan of a 4D Camera, raw, with the true electrons beside it. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from emkit.io.sectors import FRAME, write_sectors
from emkit.params import Unit, Writes
from emkit.phantoms import ScanPhantom
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

FRAMES = 64  # in a file
DARK, TRUTH = "dark.npy", "truth"
Positions = Annotated[int, Gt(0), Le(4096)]


@dataclass(frozen=True)
class ScanPhantomReport:
    """What was made; the truth lies beside it."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    electrons: int

    def __str__(self) -> str:
        sy, sx = self.scan_shape
        told = f"{self.electrons:,} electrons at {sy} x {sx} positions, frames of {FRAME[0]} x {FRAME[1]} px in sectors"
        return f"{told}; their true places are in {TRUTH}"


@step
def make_scan_phantom(
    *,
    out: Annotated[Path, Writes("folder")],
    scan_shape: tuple[Positions, Positions] = (64, 64),
    occupancy: Annotated[float, Gt(0), Le(0.1)] = 0.006,
    noise_adu: Annotated[float, Unit("ADU"), Ge(0)] = 1.83,
    seed: Annotated[int, Ge(0)] = 1,
    drift: tuple[float, float] = (0.0, 0.0),
    exposure: Annotated[int, Ge(0)] = 0,
) -> Body[ScanPhantomReport]:
    """Make the raw files of a synthetic 4D-STEM scan whose electrons are known.

    Writes sectors as the 4D Camera does (version 5), the dark reference as dark.npy, and per file of frames the true places of
    the electrons as an .npz in the folder truth (places (n, 2) as (ky, kx) px, and their number for each frame).

    Parameters
    ----------
    out
        Folder of the raw files.
    scan_shape
        Lines, and positions in a line.
    occupancy
        Electrons per pixel of a frame.
    noise_adu
        Standard deviation of the read noise.
    seed
        Same seed, same scan.
    drift
        By how many lines and positions the specimen has moved.
    exposure
        Another exposure of the same specimen has other electrons and noise.
    """
    count, pixels = scan_shape[0] * scan_shape[1], FRAME[0] * FRAME[1]
    load = Load(-(-count // FRAMES), min(FRAMES, count) * pixels * 5 // 2 + 12_000_000, FRAMES * pixels * 7e-8)
    yield Plan(27_000_000, count * (pixels * 2 + 100) + pixels * 4, 0.5, stages=(load,))
    phantom = ScanPhantom(scan_shape, FRAME, seed, occupancy, noise_adu=noise_adu, drift=drift, exposure=exposure)
    (out / TRUTH).mkdir(parents=True, exist_ok=True)
    np.save(out / DARK, phantom.dark)
    yield from stage(
        "expose", expose, {str(k): (phantom, k, min(k + FRAMES, count), out) for k in range(0, count, FRAMES)}, "files"
    )
    electrons = sum(int(np.load(path)["counts"].sum()) for path in sorted((out / TRUTH).iterdir()))
    return ScanPhantomReport(scan_shape, FRAME, electrons)


def expose(phantom: ScanPhantom, first: int, last: int, out: Path) -> Written:
    """One task: the frames of one file, sector by sector, and their truth."""
    made = {k: phantom.frame(k) for k in range(first, last)}
    name = f"data{first:010d}"
    files = write_sectors(out, {k: frame for k, (frame, _) in made.items()}, phantom.scan_shape, name)
    truth = out / TRUTH / f"{name}.npz"
    places = np.concatenate([at for _, at in made.values()]).astype(np.float32)
    np.savez(truth, places=places, counts=np.array([len(at) for _, at in made.values()]))
    return written(out, *files, truth)
