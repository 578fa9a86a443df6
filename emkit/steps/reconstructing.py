"""The phase of a specimen from a counted scan. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from emkit import count
from emkit.count import Calibration, CountedScan, Orientation
from emkit.errors import ParameterError
from emkit.foreign import py4dstem
from emkit.io.counted import counted_header, read_counted
from emkit.params import Reads, Unit, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

Method = Literal["deflection", "parallax", "py4dstem-parallax", "py4dstem-ptychography"]
GROUPS = 225  # complex images of the scan that parallax holds
SECONDS = {"parallax": 4e-4, "ptychography": 6e-3}  # of py4DSTEM for a position of 64 x 64 pixels; per iteration


@dataclass(frozen=True)
class PhaseReport:
    """The orientation that was found or given, and what else a method finds. `py4dstem` is the version that made it."""

    method: Method
    shape: tuple[int, int]
    pixel_nm: tuple[float, float]
    least_rad: float
    most_rad: float
    rotation_deg: float
    transposed: bool
    defocus_nm: float | None = None
    astigmatism_nm: float | None = None
    snr: float | None = None
    py4dstem: str = ""

    def __str__(self) -> str:
        found = [f"phase by {self.method}, {self.shape[0]} x {self.shape[1]} px, {self.least_rad:.3g} to {self.most_rad:.3g} rad"]
        if self.defocus_nm is not None:
            found.append(f"defocus {self.defocus_nm:.1f} nm (underfocus is positive)")
        return "; ".join([*found, str(Orientation(self.rotation_deg, self.transposed))])


Found = tuple[NDArray[Any], PhaseReport]  # the phase, and what was found


@step
def reconstruct_phase(
    scan: Annotated[Path, Reads("scan")],
    *,
    out: Annotated[Path, Writes("image")],
    step_nm: Annotated[float, Unit("nm"), Gt(0)],
    pixel_mrad: Annotated[float, Unit("mrad"), Gt(0)],
    energy_kev: Annotated[float, Unit("keV"), Gt(0)] = 300.0,
    method: Method = "parallax",
    rotation_deg: Annotated[float, Unit("deg"), Ge(-180), Le(180)] | None = None,
    transposed: bool = False,
    defocus_nm: Annotated[float, Unit("nm")] = 0.0,
    bin_px: Annotated[int, Unit("px"), Ge(1)] = 1,
    iterations: Annotated[int, Ge(1)] = 8,
) -> Body[PhaseReport]:
    """Make the phase of a thin specimen from a counted scan: by the deflection of the beam, by parallax, or by py4DSTEM.

    Written as a TIFF of 32-bit numbers, rad: one pixel a position, or finer by ptychography. Deflection works at any focus;
    parallax wants a defocus, and measures it. What py4DSTEM does is done in an environment of its own (`scripts/py4dstem`).

    Parameters
    ----------
    scan
        The counted scan.
    out
        The phase, NAME.tif.
    step_nm
        From one position of the scan to the next.
    pixel_mrad
        From one pixel of the detector to the next, before binning.
    energy_kev
        Of the electrons.
    method
        Deflection is integrated differential phase contrast; parallax is tilt-corrected bright field.
    rotation_deg
        How far the detector is turned against the scan, from the detector's rows towards its columns; left out, it is estimated.
        Parallax needs it for the sign of defocus and phase alone.
    transposed
        Whether the detector is seen from its back; looked at where the rotation is given, else estimated.
    defocus_nm
        Of the probe, which ptychography starts from; underfocus is positive.
    bin_px
        Pixels of the detector that are joined, squared: py4DSTEM holds the whole scan dense.
    iterations
        Of ptychography.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(f"out: found {out.name}, needed a name that ends in .tif.")
    header = counted_header(scan)
    positions, pixels = prod(header.scan_shape), prod(n // bin_px for n in header.frame_shape)
    memory, seconds = (6 if method == "deflection" else 36) * header.events + 200 * positions, 0.5 + header.events * 1e-6
    if method == "parallax":
        memory, seconds = memory + 2 * GROUPS * 8 * positions, seconds + GROUPS * positions * 2e-6
    elif method != "deflection":
        py4dstem.python()  # refused now, not after the electrons were read
        rounds = iterations if method == "py4dstem-ptychography" else 1
        memory += 400_000_000 + 60 * positions * pixels
        seconds += 12 + positions * pixels / 4096 * rounds * SECONDS[method.removeprefix("py4dstem-")]
    yield Plan(33_000_000, 4 * positions * (16 if "ptychography" in method else 1) + 1000, 0.3, stages=(Load(1, memory, seconds),))
    orientation = None if rotation_deg is None else Orientation(rotation_deg, transposed)
    calibration = Calibration(step_nm, pixel_mrad * bin_px, energy_kev)
    found = yield from stage(
        "phase", reconstruct, {"all": (scan, out, method, calibration, orientation, defocus_nm, bin_px, iterations)}
    )
    report: PhaseReport = found["all"]
    return report


def reconstruct(
    scan: Path,
    out: Path,
    method: Method,
    calibration: Calibration,
    known: Orientation | None,
    defocus_nm: float,
    bin_px: int,
    iterations: int,
) -> PhaseReport:
    """One task: the phase, written to its file."""
    import tifffile

    counted = read_counted(scan)
    counted = counted.bin_frame(bin_px) if bin_px > 1 else counted
    if method == "deflection":
        phase, found = _by_deflection(counted, calibration, known)
    elif method == "parallax":
        phase, found = _by_parallax(counted, calibration, known)
    else:
        phase, found = _by_py4dstem(counted, calibration, known, method, defocus_nm, iterations)
    tifffile.imwrite(out, phase.astype(np.float32), photometric="minisblack", metadata=None, software="")
    least, most = float(phase.min()), float(phase.max())
    return replace(found, method=method, shape=phase.shape, least_rad=least, most_rad=most)


def _by_deflection(scan: CountedScan, calibration: Calibration, known: Orientation | None) -> Found:
    found = count.differential_phase_contrast(scan, orientation=known)
    return found.phase_rad(calibration), _told(found.orientation, calibration)


def _by_parallax(scan: CountedScan, calibration: Calibration, known: Orientation | None) -> Found:
    found = count.reconstruct_parallax(scan, calibration, near=known)
    seen = found.aberrations
    told = _told(seen.orientation, calibration)
    return found.phase, replace(
        told, defocus_nm=seen.defocus_nm, astigmatism_nm=seen.astigmatism_nm, snr=found.parallax.snr
    )  # fmt: skip


def _by_py4dstem(
    scan: CountedScan, calibration: Calibration, known: Orientation | None, method: Method, defocus_nm: float, iterations: int
) -> Found:
    orientation = known or count.differential_phase_contrast(scan).orientation
    _, radius_px = count.estimate_disk(scan)
    job = py4dstem.Job(
        "parallax" if method == "py4dstem-parallax" else "ptychography",
        calibration.step_nm,
        calibration.pixel_mrad,
        calibration.energy_kev,
        radius_px * calibration.pixel_mrad,
        defocus_nm,
        orientation.rotation_deg,
        orientation.transposed,
        iterations,
    )
    found = py4dstem.reconstruct(scan.dense(), job)
    told = replace(_told(orientation, calibration), pixel_nm=found.pixel_nm, py4dstem=found.version, defocus_nm=found.defocus_nm)
    return found.phase, told if found.rotation_deg is None else replace(told, rotation_deg=found.rotation_deg)


def _told(orientation: Orientation, calibration: Calibration) -> PhaseReport:
    step = calibration.step_nm
    return PhaseReport("deflection", (0, 0), (step, step), 0, 0, orientation.rotation_deg, orientation.transposed)
