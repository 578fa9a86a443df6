"""A counted scan into another format, with or without the flyback. Axis order is (sy, sx, ky, kx)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from emkit.errors import ParameterError
from emkit.io import counted_hdf5
from emkit.io.counted import HDF5, PART, counted_frames, counted_header, iter_counted
from emkit.io.counted_parts import write_lines
from emkit.io.datacube import write_datacube
from emkit.io.raw_csr import write_raw_csr
from emkit.model import CountedScan
from emkit.params import Reads, Writes
from emkit.run.machine import give_back_large
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

Target = Literal["by-name", "zarr", "stempy", "py4DSTEM", "LiberTEM"]
WRITERS = {"zarr": write_lines, "stempy": counted_hdf5.write, "py4DSTEM": write_datacube, "LiberTEM": write_raw_csr}
ENDINGS = {"zarr": ("",), "stempy": HDF5, "py4DSTEM": (".emd", *HDF5), "LiberTEM": ("",)}


@dataclass(frozen=True)
class ScanReport:
    """What was written."""

    scan_shape: tuple[int, int]
    frame_shape: tuple[int, int]
    frames: int
    electrons: int
    format: str = "zarr"

    def __str__(self) -> str:
        (sy, sx), (ky, kx) = self.scan_shape, self.frame_shape
        what = f"{self.electrons:,} electrons in {self.frames} frames of {ky} x {kx} px at {sy} x {sx} positions"
        return f"{what}, for {self.format}" if self.format != "zarr" else what


@step
def convert_scan(
    scan: Annotated[Path, Reads("scan")],
    *,
    out: Annotated[Path, Writes("scan")],
    to: Target = "by-name",
    flyback_columns: Annotated[int, Ge(0)] = 0,
    bin_scan: Annotated[int, Ge(1)] = 1,
    bin_frame: Annotated[int, Ge(1)] = 1,
) -> Body[ScanReport]:
    """Convert a counted scan to what another program opens, or to zarr; line by line, so that it need not fit into memory.

    For stempy its HDF5 (version 3), for LiberTEM the dataset raw_csr (load `scan.toml` of the folder), for py4DSTEM a dense cube:
    bin it so that it fits into the memory of who opens it.

    Parameters
    ----------
    scan
        The counted scan: a folder that emkit wrote, or HDF5 of stempy (versions 1 to 3, or interactEM's).
    out
        The result: NAME.h5 for stempy, NAME.emd or NAME.h5 for py4DSTEM, else a folder.
    to
        Who is to open it. By its name, NAME.h5 is for stempy, NAME.emd for py4DSTEM, and anything else zarr.
    flyback_columns
        The last positions of every line that are left out.
    bin_scan
        So many positions along each axis become one; their frames stay apart where the format can.
    bin_frame
        So many pixels along each axis become one.
    """
    header = counted_header(scan)
    if flyback_columns >= header.scan_shape[1]:
        raise ParameterError(f"flyback_columns: found {flyback_columns}, but a line has {header.scan_shape[1]} positions.")
    target = _target(out, to)
    sy, sx = header.scan_shape[0] // bin_scan, (header.scan_shape[1] - flyback_columns) // bin_scan
    ky, kx = (n // bin_frame for n in header.frame_shape)
    if 0 in (sy, sx, ky, kx):
        raise ParameterError(
            f"bin_scan, bin_frame: {bin_scan} and {bin_frame} leave {sy} x {sx} positions of {ky} x {kx} px of "
            f"{' x '.join(map(str, (*header.scan_shape, *header.frame_shape)))}. Give smaller ones."
        )
    part = min(header.events, max(PART, header.events * bin_scan // header.scan_shape[0]))  # events in memory
    held = max(part * (30 if bin_frame > 1 else 25 if bin_scan > 1 or flyback_columns else 9), _held(target, part))
    load = Load(1, 31_000_000 + held + 40 * header.frames, 0.5 + header.events * 5e-8 + header.frames * 4e-6)
    yield Plan(27_000_000, _size(target, header.events, header.frames), 0.2, stages=(load,))
    found = yield from stage("convert", rewrite, {"all": (scan, out, target, flyback_columns, bin_scan, bin_frame)})
    report: ScanReport = found["all"]
    return report


def rewrite(scan: Path, out: Path, target: str, flyback_columns: int, bin_scan: int, bin_frame: int) -> ScanReport:
    """One task: the whole scan, some lines at once."""
    give_back_large()
    written = []

    def changed(part: CountedScan) -> CountedScan:
        part = part.without_flyback(flyback_columns) if flyback_columns else part
        part = part.bin_scan(bin_scan) if bin_scan > 1 else part
        part = part.bin_frame(bin_frame) if bin_frame > 1 else part
        written.append((len(part), part.events))
        return part

    whole = changed(counted_frames(scan))
    written.clear()
    WRITERS[target](map(changed, iter_counted(scan, lines=bin_scan)), whole, out)
    frames, electrons = (sum(numbers) for numbers in zip(*written, strict=True))
    return ScanReport(whole.scan_shape, whole.frame_shape, frames, electrons, target)


def _target(out: Path, to: Target) -> str:
    if to == "by-name":
        return "stempy" if out.suffix in HDF5 else "py4DSTEM" if out.suffix == ".emd" else "zarr"
    if "" not in ENDINGS[to] and out.suffix not in ENDINGS[to]:
        raise ParameterError(
            f"out: found {out.suffix or 'no ending'}, needed a name that ends in {' or '.join(ENDINGS[to])} for {to}."
        )
    return to


def _held(target: str, part: int) -> int:
    """Bytes that a writer takes for a part of so many events; measured."""
    return part * 40 if target == "LiberTEM" else 50_000_000 + part * 18 if target == "py4DSTEM" else part * 9


def _size(target: str, events: int, frames: int) -> int:
    """Bytes on disk, at most about."""
    of_event, of_frame = {"zarr": (7, 16), "stempy": (4, 40), "py4DSTEM": (3, 2000), "LiberTEM": (6, 8)}[target]
    return events * of_event + frames * of_frame
