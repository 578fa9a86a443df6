"""Images of the specimen from a counted scan. Axis order is (sy, sx, ky, kx); a place on the detector is (ky, kx), px."""

from dataclasses import dataclass
from functools import reduce
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from emkit import count
from emkit.count import CountedScan
from emkit.errors import ParameterError
from emkit.io.counted import counted_header, iter_counted
from emkit.io.references import read_reference
from emkit.params import Reads, Unit, Writes
from emkit.run.machine import give_back_large
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

Detector = Literal["sum", "bright-field", "dark-field", "mask", "phase"]
PART = 2**22  # events that are in memory at once, about


@dataclass(frozen=True)
class ImageReport:
    """Where the detector lay, and what the image holds."""

    detector: Detector
    scan_shape: tuple[int, int]
    centre: tuple[float, float]
    least: float
    most: float

    def __str__(self) -> str:
        sy, sx = self.scan_shape
        ky, kx = self.centre
        told = f"{self.detector} of {sy} x {sx} positions, {self.least:g} to {self.most:g}"
        return told + ("" if self.detector == "sum" else f"; the beam is at ({ky:.1f}, {kx:.1f}) px")


@step
def virtual_image(
    scan: Annotated[Path, Reads("scan")],
    *,
    out: Annotated[Path, Writes("image")],
    detector: Detector = "bright-field",
    inner_px: Annotated[float, Unit("px"), Ge(0)] | None = None,
    outer_px: Annotated[float, Unit("px"), Gt(0)] | None = None,
    centre: tuple[float, float] | None = None,
    mask: Annotated[Path | None, Reads("table")] = None,
) -> Body[ImageReport]:
    """Make an image of the specimen by a virtual detector: the electrons within a disk, a ring or a mask at each position.

    Written as a TIFF of 32-bit numbers, one pixel a position. A ring far from the beam is a HAADF detector. The phase is that of
    differential phase contrast, integrated. The scan need not fit into memory.

    Parameters
    ----------
    scan
        The counted scan.
    out
        The image, NAME.tif.
    detector
        All electrons, those of a disk, of a ring, of a mask, or the integrated deflection of those in the disk.
    inner_px
        Inner radius of the ring; left out, a third of the frame.
    outer_px
        Outer radius of the disk (left out, a quarter of the frame) or of the ring (half of it).
    centre
        Row and column of the beam; left out, it is estimated.
    mask
        What an electron counts at each pixel, .npy of a frame's shape; a detector of any form, or of several.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(f"out: found {out.name}, needed a name that ends in .tif.")
    header = counted_header(scan)
    if (mask is not None) != (detector == "mask"):
        raise ParameterError(f"mask: found {mask or 'none'} with the detector {detector}; give both, or neither.")
    if mask and (found := read_reference("mask", mask)).shape != header.frame_shape:
        raise ParameterError(f"mask: {mask} has the shape {found.shape}, but frames are {header.frame_shape}.")
    side = min(header.frame_shape)
    inner = 0.0 if detector != "dark-field" else side / 3 if inner_px is None else inner_px
    outer = outer_px or (side / 2 if detector == "dark-field" else side / 4)
    if inner >= outer:
        raise ParameterError(f"inner_px: found {inner:g}, which is not less than the outer radius, {outer:g} px.")
    positions, line = prod(header.scan_shape), header.events // max(1, header.scan_shape[0])
    held = (15 if detector == "phase" else 6) * min(header.events, PART + line) + 150 * positions
    load = Load(1, 33_000_000 + held, 0.3 + header.events * 3e-8)
    yield Plan(27_000_000, positions * 4 + 1000, 0.2, stages=(load,))
    made = yield from stage("image", project, {"all": (scan, out, detector, inner, outer, centre, mask)})
    report: ImageReport = made["all"]
    return report


def project(
    scan: Path,
    out: Path,
    detector: Detector,
    inner: float,
    outer: float,
    centre: tuple[float, float] | None,
    mask: Path | None,
) -> ImageReport:
    """One task: the image, written to its file."""
    import tifffile

    give_back_large()
    header = counted_header(scan)
    nothing = np.zeros(header.frame_shape, np.int64)
    at = centre or count.centre_of(reduce(np.add, (count.sum_of_whole(part) for part in iter_counted(scan, PART)), nothing))
    weights = read_reference("mask", mask) if mask else count.annulus(header.frame_shape, at, inner, outer)
    lines = np.concatenate([_seen(part, detector, weights) for part in iter_counted(scan, PART)])
    image = (count.contrast_of(lines).phase if detector == "phase" else lines).astype(np.float32)
    tifffile.imwrite(out, image, photometric="minisblack", metadata=None, software="")
    return ImageReport(detector, header.scan_shape, at, float(image.min()), float(image.max()))


def _seen(lines: CountedScan, detector: Detector, weights: NDArray[Any]) -> NDArray[Any]:
    """What the detector sees at each position of some lines; for the phase, the centre of mass."""
    if detector == "phase":
        return count.centre_of_mass(lines, weights)
    return lines.sum("frame") if detector == "sum" else count.virtual_image(lines, weights)
