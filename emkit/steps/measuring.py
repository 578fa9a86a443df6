"""How well a volume is aligned, pair by pair. Axis order is (z, y, x); points are (y, x), px."""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from emkit.align import PairQuality, calibrated_threshold, measure_pair
from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.omezarr import read_levels, read_region
from emkit.params import Reads, Writes
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

COLUMNS = (
    "fixed",
    "moving",
    "snr",
    "snr_threshold",
    "whole_snr",
    "residual_px",
    "inliers",
    "displacement_px",
    "flagged",
    "reasons",
)


@step
def measure_alignment(
    volume: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path | None, Writes("table")] = None,
    snr_threshold: Annotated[float, Ge(0)] | None = None,
    level: Annotated[int, Ge(0)] = 0,
) -> Body[tuple[PairQuality, ...]]:
    """Measure how well neighbouring sections of a volume lie on each other.

    For each pair: the SNR of its match, the residual that the best affine leaves, and the displacement which that affine asks for;
    on an aligned volume both are small. Pairs below the threshold are flagged, with the reason.

    Parameters
    ----------
    volume
        The volume to measure, OME-Zarr 0.4 or 0.5.
    out
        The table as CSV, if it is to be kept.
    snr_threshold
        Pairs below are flagged; left out, it is calibrated for the size of the sections.
    level
        Resolution to measure at, 0 is the finest. Lengths in the table are px of this level.
    """
    found = read_levels(volume)
    if level >= len(found):
        raise ParameterError(f"level: found {level}, but {volume} has levels 0 to {len(found) - 1}.")
    count, height, width = found[level].shape
    threshold = calibrated_threshold((height, width)) if snr_threshold is None else snr_threshold
    pixels, itemsize = height * width, np.dtype(found[level].dtype).itemsize
    held = 45_000_000 + (2 * itemsize + 19) * pixels  # tensorstore; two sections and their normalised copies; measured
    yield Plan(30_000_000, count * 1000, stages=(Load(count - 1, held, 0.3 + pixels * 4e-7),))

    tasks = {f"{z}-{z + 1}": (volume, level, z, height, width, threshold) for z in range(count - 1)}
    pairs = tuple((yield from stage("measure", measure_sections, tasks, "pairs")).values())
    if out:
        with out.open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for pair in pairs:
                row = {name: getattr(pair, name) for name in COLUMNS} | {"reasons": "; ".join(pair.reasons)}
                table.writerow(row.values())
    return pairs


def measure_sections(volume: Path, level: int, z: int, height: int, width: int, threshold: float) -> PairQuality:
    """One task: the pair of sections z and z + 1."""
    fixed, moving = read_region(volume, level, Block((z, z + 2), (0, height), (0, width)))
    return measure_pair(fixed, moving, z, snr_threshold=threshold)
