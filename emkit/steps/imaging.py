"""Images of the specimen from a counted scan. Axis order is (sy, sx, ky, kx); a place on the detector is (ky, kx), px."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt

from emkit import count
from emkit.errors import ParameterError
from emkit.io.counted import counted_header, read_counted
from emkit.params import Reads, Unit, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

Detector = Literal["sum", "bright-field", "dark-field", "phase"]


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
) -> Body[ImageReport]:
    """Make an image of the specimen by a virtual detector: the electrons within a disk or a ring at each position.

    Written as a TIFF of 32-bit numbers, one pixel a position. The phase is that of differential phase contrast, integrated.

    Parameters
    ----------
    scan
        The counted scan.
    out
        The image, NAME.tif.
    detector
        All electrons, those of a disk, of a ring, or the integrated deflection of those in the disk.
    inner_px
        Inner radius of the ring; left out, a third of the frame.
    outer_px
        Outer radius of the disk (left out, a quarter of the frame) or of the ring (half of it).
    centre
        Row and column of the beam; left out, it is estimated.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(f"out: found {out.name}, needed a name that ends in .tif.")
    header = counted_header(scan)
    side = min(header.frame_shape)
    inner = 0.0 if detector != "dark-field" else side / 3 if inner_px is None else inner_px
    outer = outer_px or (side / 2 if detector == "dark-field" else side / 4)
    if inner >= outer:
        raise ParameterError(f"inner_px: found {inner:g}, which is not less than the outer radius, {outer:g} px.")
    memory = header.events * (4 if detector in ("sum", "bright-field", "dark-field") else 30)
    load = Load(1, 40_000_000 + memory, 0.3 + header.events * 3e-8)
    yield Plan(40_000_000, header.scan_shape[0] * header.scan_shape[1] * 4 + 1000, 0.2, stages=(load,))
    found = yield from stage("image", project, {"all": (scan, out, detector, inner, outer, centre)})
    report: ImageReport = found["all"]
    return report


def project(
    scan: Path, out: Path, detector: Detector, inner: float, outer: float, centre: tuple[float, float] | None
) -> ImageReport:
    """One task: the image, written to its file."""
    import tifffile

    counted = read_counted(scan)
    at = centre or count.estimate_centre(counted)
    mask = count.annulus(counted.frame_shape, at, inner, outer)
    if detector == "sum":
        image = counted.sum("frame").astype(np.float32)
    elif detector == "phase":
        image = count.differential_phase_contrast(counted, mask).phase.astype(np.float32)
    else:
        image = count.virtual_image(counted, mask).astype(np.float32)
    tifffile.imwrite(out, image, photometric="minisblack", metadata=None, software="")
    return ImageReport(detector, counted.scan_shape, at, float(image.min()), float(image.max()))
