"""The report of an alignment as a page to print. Axis order is (z, y, x)."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from emkit.align.page import page_of
from emkit.align.report import read_alignment
from emkit.blocks import Block
from emkit.io.omezarr import read_levels, read_region
from emkit.model import Level
from emkit.params import Reads, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

PICTURE_PX = 360


@step
def report_alignment(
    volume: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("page")],
    title: str = "",
) -> Body[int]:
    """Write the report of an alignment as one HTML page, with pictures, to read or print; returns how many sections are bad.

    For each bad section: what is wrong, what speaks for that, what to do, and its picture between its neighbours. Then what is to
    be imaged again, and every statistic of every section. The page needs no network and no other file.

    Parameters
    ----------
    volume
        A volume that align-sections made.
    out
        The page, HTML.
    title
        Its title; left out, the name of the volume.
    """
    report = read_alignment(volume)
    level = picture_level(volume)
    pixels = level.shape[1] * level.shape[2]
    bad = sum(bool(one.defect) for one in report.verdicts)
    shown = 3 * bad * pixels
    yield Plan(
        30_000_000 + 4 * shown, 4 * shown + 2000 * len(report.sections), stages=(Load(1, 45_000_000 + 3 * shown, 0.5 + 0.02 * bad),)
    )

    made = yield from stage("write", write_page, {"page": (volume, out, title or volume.name)}, "page")
    return made["page"]


def picture_level(volume: Path) -> Level:
    """The finest resolution that is no larger than a picture on the page, or the coarsest that still has every section."""
    finest, *coarser = read_levels(volume)
    levels = [finest, *(level for level in coarser if level.shape[0] == finest.shape[0])]
    return next((level for level in levels if max(level.shape[1:]) <= PICTURE_PX), levels[-1])


def write_page(volume: Path, out: Path, title: str) -> int:
    """One task: the page."""
    report, level = read_alignment(volume), picture_level(volume)
    number = read_levels(volume).index(level)
    _, height, width = level.shape

    def thumbnail(z: int) -> NDArray[Any]:
        (image,) = read_region(volume, number, Block((z, z + 1), (0, height), (0, width)))
        factor = -(-max(height, width) // PICTURE_PX)
        small: NDArray[Any] = np.asarray(image)[::factor, ::factor]
        return small

    out.write_text(page_of(report, title, thumbnail))
    return sum(bool(one.defect) for one in report.verdicts)
