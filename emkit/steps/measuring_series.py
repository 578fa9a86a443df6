"""Scans of one place, one after the other: what dose each took, how the specimen drifted. Axis order is (sy, sx, ky, kx)."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot, prod
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt

from emkit import count
from emkit.align import measure_drift
from emkit.errors import ParameterError
from emkit.io.counted import PART, counted_header, iter_counted, read_counted
from emkit.params import Reads, Unit, Writes
from emkit.plotting import Line, Panel, draw
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

COLUMNS = (
    "scan",
    "time_min",
    "electrons",
    "per_frame",
    "per_position",
    "accumulated",
    "drift_sy",
    "drift_sx",
    "moved",
    "snr",
)
IMAGES = "images"


@dataclass(frozen=True)
class ScanOfSeries:
    """`at_s`: since the first, None where it was not told. `per_frame`, `per_position`: electrons; `accumulated`: per position, of
    all scans so far. `drift`: of the specimen from the first scan, in scan positions (sy, sx); `moved`: from the one before."""

    scan: str
    at_s: float | None
    electrons: int
    per_frame: float
    per_position: float
    accumulated: float
    drift: tuple[float, float]
    moved: float
    snr: float | None

    def cells(self) -> list[str]:
        """Under COLUMNS; what is not known is empty."""
        numbers = [self.per_frame, self.per_position, self.accumulated]
        time, snr = ("" if one is None else f"{one:.4g}" for one in (None if self.at_s is None else self.at_s / 60, self.snr))
        moves = [f"{value:.2f}" for value in (*self.drift, self.moved)]
        return [self.scan, time, str(self.electrons), *(f"{value:.5g}" for value in numbers), *moves, snr]


@dataclass(frozen=True)
class SeriesReport:
    """A line for each scan, in the order given."""

    scans: tuple[ScanOfSeries, ...]

    def __str__(self) -> str:
        table = [list(COLUMNS), *(one.cells() for one in self.scans)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        head, *body = ["| " + " | ".join(word.ljust(n) for word, n in zip(line, widths, strict=True)) + " |" for line in table]
        return "\n".join([head, "|" + "|".join("-" * (n + 2) for n in widths) + "|", *body])


@step
def measure_series(
    scans: Annotated[tuple[Path, ...], Reads("scan")],
    *,
    out: Annotated[Path, Writes("folder")],
    at_s: Annotated[tuple[float, ...], Unit("s")] = (),
    radius_px: Annotated[float, Unit("px"), Gt(0)] | None = None,
) -> Body[SeriesReport]:
    """Measure dose and drift over a series of scans of one place.

    Dose is told as electrons per frame, per position, and per position of all scans so far. Drift is the shift of the bright-field
    image against that of the first scan, by phase correlation; a low SNR says that the images do not match. Writes table.csv,
    table.md, plot.svg, and the bright-field images.

    Parameters
    ----------
    scans
        Counted scans of one shape, in their order in time.
    out
        Folder of the table, the plot and the images.
    at_s
        When each was recorded; left out, they are numbered.
    radius_px
        Of the bright-field disk; left out, a quarter of the frame.
    """
    headers = [counted_header(path) for path in scans]
    if len(scans) < 2 or (at_s and len(at_s) != len(scans)):
        raise ParameterError(f"scans: found {len(scans)} scans and {len(at_s)} times; needed: 2 scans or more, and as many times.")
    if len({(header.scan_shape, header.frame_shape) for header in headers}) > 1:
        odd = next(
            k
            for k, one in enumerate(headers)
            if one.scan_shape != headers[0].scan_shape or one.frame_shape != headers[0].frame_shape
        )
        found = " and ".join(f"{headers[k].scan_shape} x {headers[k].frame_shape} in {scans[k]}" for k in (0, odd))
        raise ParameterError(f"scans: found {found}; needed: scans of one shape.")
    (height, width), radius = headers[0].scan_shape, radius_px or min(headers[0].frame_shape) / 4
    events = max(header.events for header in headers)
    part = Load(len(scans), 8_500_000 + 20 * min(events, PART), 0.3 + events * 5e-8)
    loads = (Load(1, 25_000_000 + events * 8 // height, 0.5), part)
    images_bytes = len(scans) * height * width * 8
    yield Plan(37_000_000 + 6 * images_bytes, images_bytes + 20_000, 0.5, stages=loads)

    beam = (yield from stage("beam", find_beam, {"first": (scans[0],)}))["first"]
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    names = _names(scans)
    files = [out / IMAGES / f"{k:03}-{name.replace('/', '-')}.tif" for k, name in enumerate(names)]
    yield from stage(
        "images", project, {files[k].name: (path, beam, radius, files[k], out) for k, path in enumerate(scans)}, "scans"
    )
    report = SeriesReport(tuple(_measured(names, files, [header.frames for header in headers], at_s)))
    with (out / "table.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(one.cells() for one in report.scans)])
    (out / "table.md").write_text(f"{report}\n")
    (out / "plot.svg").write_text(draw(panels(report)))
    return report


def find_beam(scan: Path) -> tuple[float, float]:
    """One task: where the beam is, from the middle line of a scan."""
    middle = counted_header(scan).scan_shape[0] // 2
    return count.estimate_centre(read_counted(scan, (middle, middle + 1)))


def project(scan: Path, beam: tuple[float, float], radius: float, file: Path, out: Path) -> Written:
    """One task: the bright-field image and that of all electrons, two pages of a TIFF."""
    import tifffile

    mask = count.disk(counted_header(scan).frame_shape, beam, radius)
    parts = [(count.virtual_image(part, mask), part.sum("frame")) for part in iter_counted(scan)]
    pages = np.stack([np.concatenate(images) for images in zip(*parts, strict=True)]).astype(np.float32)
    tifffile.imwrite(file, pages, photometric="minisblack", metadata=None, software="")
    return written(out, file)


def _measured(names: list[str], files: list[Path], frames: list[int], at_s: tuple[float, ...]) -> Iterator[ScanOfSeries]:
    import tifffile

    pages = [tifffile.imread(file) for file in files]
    accumulated, before = 0.0, (0.0, 0.0)
    for k, (found, name) in enumerate(zip(measure_drift([page[0] for page in pages]), names, strict=True)):
        electrons = int(pages[k][1].sum(dtype=np.float64))
        accumulated += (per_position := electrons / prod(pages[k][1].shape))
        moved = hypot(found.moved[0] - before[0], found.moved[1] - before[1])
        at, snr, before = at_s[k] if at_s else None, found.snr if k else None, found.moved
        yield ScanOfSeries(name, at, electrons, electrons / max(frames[k], 1), per_position, accumulated, found.moved, moved, snr)


def panels(report: SeriesReport) -> list[Panel]:
    """Dose, its sum, and drift, over time or over the number of the scan."""
    timed = all(one.at_s is not None for one in report.scans)
    x = [(one.at_s or 0.0) / 60 if timed else float(k) for k, one in enumerate(report.scans, 1)]
    label = "time (min)" if timed else "scan"

    def line(name: str, values: list[float]) -> Line:
        return Line(name, list(zip(x, values, strict=True)))

    drifts = [line(f"drift along {axis}", [one.drift[k] for one in report.scans]) for k, axis in enumerate(("sy", "sx"))]
    return [
        Panel("Dose", label, "electrons per frame", [line("", [one.per_frame for one in report.scans])]),
        Panel("Accumulated dose", label, "electrons per position", [line("", [one.accumulated for one in report.scans])]),
        Panel("Drift", label, "scan positions", drifts),
    ]


def _names(scans: tuple[Path, ...]) -> list[str]:
    """Each from where the paths part on."""
    paths = [path.absolute() for path in scans]
    shared = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(shared).as_posix() for path in paths]
