"""What a verdict rests on, in words: each statistic with what it says, which of them speak against a section, and who to swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emkit.align.defects import LIMITS, SectionVerdict


@dataclass(frozen=True)
class Statistic:
    """One number of a section: what a column is called, and what it says."""

    name: str
    title: str
    says: str
    digits: int = 2

    def written(self, value: float | None) -> str:
        """The number as people read it."""
        return "–" if value is None else f"{value:z.{self.digits}f}"


STATISTICS = (  # those that name a defect stand first
    Statistic("dark_line", "Dark line", "Share of a straight line across the section that is darker than what lies beside it"),
    Statistic("bright_line", "Bright line", "The same of a brighter one"),
    Statistic("stripes", "Stripes", "Agreement of rows over the whole width, beyond that of columns"),
    Statistic("stain", "Stain", "How far large areas lie from the median, in spreads", 1),
    Statistic("spread", "Contrast", "Log of the spread of the greys"),
    Statistic("saturated", "Saturated", "Share of the pixels at the least or the greatest value"),
    Statistic("sharpness", "Sharpness", "Log of the power of fine over coarse structure"),
    Statistic("same", "Fine NCC", "Correlation of what is too fine for two sections to share: high where one was imaged twice"),
    Statistic("loss", "Lost", "Share of the usual match that is lost between the section before and this one"),
    Statistic("snr", "SNR", "Match with the section before, in the median over patches", 1),
    Statistic("whole_snr", "Whole SNR", "Match with the section before, as shrunken wholes: do both show the same place?", 1),
    Statistic("inliers", "Inliers", "Share of the patches that agree with one affine"),
    Statistic("residual_px", "Residual", "Median distance of a patch from that affine, px", 1),
    Statistic("peak", "Peak", "Height of the match signal of all patches together, in its standard deviations", 1),
    Statistic("ncc", "NCC", "Correlation of coarse structure with the section before"),
)


def speaking(verdicts: Sequence[SectionVerdict]) -> list[frozenset[str]]:
    """For each section the names of the statistics that lie beyond their limit."""
    sharpness = float(np.median([one.picture.sharpness for one in verdicts] or [0.0]))
    spread = float(np.median([one.picture.spread for one in verdicts] or [0.0]))
    found = []
    for one in verdicts:
        evidence = {name: value / LIMITS[name] for name, value in one.statistics.items() if name in LIMITS and value is not None}
        evidence |= {
            "sharpness": (sharpness - one.picture.sharpness) / LIMITS["blur"],
            "spread": abs(one.picture.spread - spread) / LIMITS["spread"],
        }
        found.append(frozenset(name for name, value in evidence.items() if value >= 1))
    return found


def partner_of(verdicts: Sequence[SectionVerdict], z: int) -> int | None:
    """With which other section one that is out of order probably has changed places; None where nobody offers."""
    others = [one for one in verdicts if one.defect == "out_of_order" and one.z != z]
    here = verdicts[z]
    if here.elsewhere >= 0:
        others = [one for one in others if abs(one.z - here.elsewhere) <= 1] or others
    return min(others, key=lambda one: abs(one.z - (here.elsewhere if here.elsewhere >= 0 else z))).z if others else None
