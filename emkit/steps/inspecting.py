"""One section, as it comes from the microscope: is it sharp, bright, and worth going on with? Pixels are (y, x)."""

import csv
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np

from emkit.io.headers import read_header
from emkit.io.sections import read_image
from emkit.measure import SectionQuality, measure_quality
from emkit.measure.sections import BAND_ROWS
from emkit.params import Reads, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step


@step
def measure_section(
    source: Annotated[Path, Reads("image")],
    *,
    out: Annotated[Path | None, Writes("table")] = None,
) -> Body[SectionQuality]:
    """Measure the quality of one section: noise, contrast, saturation, focus.

    The signal to noise ratio (SNR); the contrast, as a part of the range of the pixel type; the part of the pixels that are
    saturated; the sharpness, which falls when focus or stage drift. Made to follow a microscope: see `emkit follow`.

    Parameters
    ----------
    source
        The section, TIFF or PNG.
    out
        The numbers as CSV, if they are to be kept.
    """
    header = read_header(source)
    image_bytes = prod(header.shape) * np.dtype(header.dtype).itemsize
    # the image, and either a copy of it for the percentiles or a band through the filters
    task_bytes = 3_000_000 + image_bytes + max(image_bytes, 41 * BAND_ROWS * header.shape[1])
    yield Plan(5_000_000, 1000, 0.1, stages=(Load(1, task_bytes, prod(header.shape) * 1.2e-7),))

    found = yield from stage("measure", measure, {source.name: (source,)}, "sections")
    quality = found[source.name]
    if out:
        with out.open("w", newline="") as file:
            row = {"section": source.name, **asdict(quality)}
            table = csv.DictWriter(file, row, lineterminator="\n")
            table.writeheader()
            table.writerow(row)
    return quality


def measure(source: Path) -> SectionQuality:
    """One task: the section."""
    return measure_quality(read_image(source))
