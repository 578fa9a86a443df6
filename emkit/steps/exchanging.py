"""A counted scan into another format, with or without the flyback. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from emkit.errors import ParameterError
from emkit.io.counted import HDF5, counted_header, read_counted, write_counted
from emkit.params import Reads, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step


@dataclass(frozen=True)
class ScanReport:
    """What was written."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    frames: int
    electrons: int

    def __str__(self) -> str:
        (sy, sx), (ky, kx) = self.scan_shape, self.frame_shape
        return f"{self.electrons:,} electrons in {self.frames} frames of {ky} x {kx} px at {sy} x {sx} positions"


@step
def convert_scan(
    scan: Annotated[Path, Reads("scan")],
    *,
    out: Annotated[Path, Writes("scan")],
    flyback_columns: Annotated[int, Ge(0)] = 0,
    bin_scan: Annotated[int, Ge(1)] = 1,
    bin_frame: Annotated[int, Ge(1)] = 1,
) -> Body[ScanReport]:
    """Convert a counted scan: to HDF5 that stempy opens where the name ends in .h5, else to zarr.

    Parameters
    ----------
    scan
        The counted scan: a folder that emkit wrote, or HDF5 of stempy (versions 1 to 3, or interactEM's).
    out
        The result, NAME.h5 or a folder.
    flyback_columns
        The last positions of every line that are left out.
    bin_scan
        So many positions along each axis become one; their frames stay apart.
    bin_frame
        So many pixels along each axis become one.
    """
    header = counted_header(scan)
    if flyback_columns >= header.scan_shape[1]:
        raise ParameterError(f"flyback_columns: found {flyback_columns}, but a line has {header.scan_shape[1]} positions.")
    size = header.events * 4 + header.frames * 16
    load = Load(1, 60_000_000 + 6 * size, 0.5 + header.events * 5e-8 + header.frames * 4e-6)
    yield Plan(40_000_000, size + header.frames * 40 * (out.suffix in HDF5), 0.2, stages=(load,))
    found = yield from stage("convert", rewrite, {"all": (scan, out, flyback_columns, bin_scan, bin_frame)})
    report: ScanReport = found["all"]
    return report


def rewrite(scan: Path, out: Path, flyback_columns: int, bin_scan: int, bin_frame: int) -> ScanReport:
    """One task: the whole scan."""
    counted = read_counted(scan)
    if flyback_columns:
        counted = counted.without_flyback(flyback_columns)
    if bin_scan > 1:
        counted = counted.bin_scan(bin_scan)
    if bin_frame > 1:
        counted = counted.bin_frame(bin_frame)
    write_counted(counted, out)
    return ScanReport(counted.scan_shape, counted.frame_shape, len(counted), counted.events)
