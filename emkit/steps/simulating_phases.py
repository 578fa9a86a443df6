"""A synthetic counted scan of a phase that is known. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from emkit.count import Orientation
from emkit.io.counted import write_counted
from emkit.params import Unit, Writes
from emkit.phantoms import PhasePhantom
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

SCAN, TRUTH = "counted", "phase.tif"
FRAME_PX = 64
Positions = Annotated[int, Gt(0), Le(1024)]


@dataclass(frozen=True)
class PhasePhantomReport:
    """What was planted, and what a reconstruction has to be told."""

    scan_shape: tuple[int, int]
    electrons: int
    step_nm: float
    pixel_mrad: float
    energy_kev: float

    def __str__(self) -> str:
        sy, sx = self.scan_shape
        told = f"{self.electrons:,} electrons of {self.energy_kev:g} keV at {sy} x {sx} positions in {SCAN}"
        return f"{told}; --step-nm {self.step_nm:g} --pixel-mrad {self.pixel_mrad:g}; the true phase is {TRUTH}"


@step
def make_phase_phantom(
    *,
    out: Annotated[Path, Writes("folder")],
    scan_shape: tuple[Positions, Positions] = (64, 64),
    defocus_nm: Annotated[float, Unit("nm"), Ge(-24), Le(24)] = 20.0,
    rotation_deg: Annotated[float, Unit("deg"), Ge(-180), Le(180)] = 0.0,
    transposed: bool = False,
    phase_rad: Annotated[float, Unit("rad"), Gt(0), Le(3)] = 0.15,
    electrons: Annotated[float, Gt(0), Le(100_000)] = 2000.0,
    seed: Annotated[int, Ge(0)] = 1,
) -> Body[PhasePhantomReport]:
    """Make a counted 4D-STEM scan of a weak phase that is known, with a defocus that is known.

    Writes the electrons as a counted scan and the true phase, rad, as a TIFF: 300 keV, an aperture of 20 mrad, frames of 64 x 64
    pixels of 1 mrad, positions 0.1 nm apart. The specimen is of blobs like atoms, which attract electrons.

    Parameters
    ----------
    out
        Folder of the scan and the truth.
    scan_shape
        Lines, and positions in a line.
    defocus_nm
        Of the probe; underfocus is positive.
    rotation_deg
        How far the detector is turned against the scan, from the detector's rows towards its columns.
    transposed
        The detector is seen from its back.
    phase_rad
        Of the highest blob, in its middle.
    electrons
        At each position.
    seed
        Same seed, same scan.
    """
    turn = Orientation(rotation_deg, transposed).matrix
    phantom = PhasePhantom(
        scan_shape, FRAME_PX, turn=turn, defocus_nm=defocus_nm, phase_rad=phase_rad, electrons=electrons, seed=seed
    )
    positions = prod(scan_shape)
    load = Load(1, 7_000_000 + int(positions * (FRAME_PX**2 * 6 + electrons * 22)), 1 + positions * (3e-4 + electrons * 5e-8))
    yield Plan(5_000_000, int(positions * electrons * 4) + 1_000_000, 0.3, stages=(load,))
    found = yield from stage("expose", expose, {"all": (phantom, out)})
    calibration = phantom.calibration
    return PhasePhantomReport(scan_shape, found["all"], calibration.step_nm, calibration.pixel_mrad, calibration.energy_kev)


def expose(phantom: PhasePhantom, out: Path) -> int:
    """One task: the scan and the truth, written to their files; how many electrons there are."""
    import tifffile

    out.mkdir(parents=True, exist_ok=True)
    scan = phantom.scan()
    write_counted(scan, out / SCAN)
    tifffile.imwrite(out / TRUTH, phantom.phase.astype(np.float32), photometric="minisblack", metadata=None, software="")
    return scan.events
