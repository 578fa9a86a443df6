"""An alignment against the truth of a phantom. Axis order is (z, y, x); points are (y, x), px."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from emkit.align import read_alignment, read_map
from emkit.errors import PathError
from emkit.io.omezarr import read_levels
from emkit.params import Reads, Writes
from emkit.run.plan import Plan
from emkit.run.step import Body, step
from emkit.steps.simulating import TRUTH
from emkit.transforms import Affine, Floats, Row

GRID = 9  # points along each side at which places are compared


@dataclass(frozen=True)
class SectionError:
    """Where a section lies in an aligned volume, against where it should: all but a map that is common to all sections.

    `error_px`: how far its points lie from those of the section before, and ought not to; `drift_px`: from those of the first
    section. Both are medians over the section, in px of the specimen.
    """

    z: int
    file: str
    error_px: float
    drift_px: float

    def __str__(self) -> str:
        return f"section {self.z} ({self.file}): off by {self.error_px:.2f} px, {self.drift_px:.2f} px since the first"


@step
def measure_error(
    volume: Annotated[Path, Reads("volume")],
    truth: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path | None, Writes("table")] = None,
) -> Body[tuple[SectionError, ...]]:
    """Measure how far an aligned volume is from the truth of the phantom it was made from.

    The first section is what the others are compared with, so it has no row; neither have sections that show an unrelated place.

    Parameters
    ----------
    volume
        The volume, as align-sections made it.
    truth
        The sections it was made from, as make-phantom made them.
    out
        The table as CSV, if it is to be kept.
    """
    yield Plan(25_000_000, 100_000, 0.2)

    try:
        told = json.loads((truth / TRUTH).read_text())["sections"]
    except FileNotFoundError:
        raise PathError(f"truth: {truth} holds no {TRUTH}; needed: sections that make-phantom made.") from None
    true = {section["file"]: _affine(*section["affine"]) for section in told if not section["bad"]}
    _, height, width = read_levels(volume)[0].shape
    points = np.stack(np.meshgrid(np.linspace(0, height - 1, GRID), np.linspace(0, width - 1, GRID)), axis=-1).reshape(-1, 2)
    placed: list[tuple[int, str, Floats]] = []
    report = read_alignment(volume)
    for section in report.sections:
        if section.file in true:  # output px to section px, and back to the specimen
            shown = read_map(volume, report, section.z).apply(points)
            placed.append((section.z, section.file, true[section.file].invert().apply(shown)))
    if not placed:
        raise PathError(f"truth: {truth} tells of none of the sections of {volume}; needed: those that it was made from.")
    errors = tuple(
        SectionError(z, file, _apart(before, here), _apart(placed[0][2], here))
        for (_, _, before), (z, file, here) in zip(placed, placed[1:], strict=False)
    )
    if out:
        with out.open("w", newline="") as file:
            table = csv.DictWriter(file, SectionError.__dataclass_fields__, lineterminator="\n")
            table.writeheader()
            table.writerows(map(asdict, errors))
    return errors


def _apart(a: Floats, b: Floats) -> float:
    return float(np.median(np.hypot(*(a - b).T)))


def _affine(along_y: Row, along_x: Row) -> Affine:
    return Affine(((along_y[0], along_y[1], along_y[2]), (along_x[0], along_x[1], along_x[2])))
