"""Points carried through an alignment, and labels. Axis order is (z, y, x); points are (y, x), px, pixel centres at integers."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from emkit import align
from emkit.errors import ParameterError
from emkit.io.omezarr import create_volume, read_levels
from emkit.io.sections import open_stack
from emkit.io.spool import SPOOL, Spool
from emkit.io.tables import Table, read_table
from emkit.params import Reads, Writes
from emkit.run.plan import Load, Plan
from emkit.run.step import Body, step
from emkit.steps.rendering import Shown, decode, disk_bytes, loads, render_volume, stack_of
from emkit.transforms import Affine

Towards = Literal["volume", "sections"]
LABELS, POINTS = "labels.ome.zarr", "points.csv"  # in the output
COLUMNS = ("z", "y", "x")


@dataclass(frozen=True)
class Applied:
    """What was carried: points, and sections of labels."""

    points: int
    labels: int

    def __str__(self) -> str:
        return f"{self.points} points in {POINTS}, {self.labels} sections of labels in {LABELS}"


@step
def apply_transforms(
    alignment: Annotated[Path, Reads("volume")],
    *,
    out: Annotated[Path, Writes("folder")],
    points: Annotated[Path | None, Reads("table")] = None,
    labels: Annotated[Path | None, Reads("image folder")] = None,
    towards: Towards = "volume",
) -> Body[Applied]:
    """Carry points and labels from raw sections into the aligned volume, or points back.

    What was marked before sections were aligned need not be marked again. Labels keep their values.

    Parameters
    ----------
    alignment
        The volume that align-sections or import-alignment made.
    out
        Folder of the results: points.csv, labels.ome.zarr.
    points
        CSV with the columns z, y, x: the section, counted from 0, and px in it, or voxels of the volume. Other columns stay.
    labels
        Folder of TIFF or PNG sections of labels, each as large as the section that it belongs to.
    towards
        Where points go: from px of sections to voxels of the volume, or from there to px of sections.
    """
    if points is None and labels is None:
        raise ParameterError("points, labels: found neither; needed: a table of points, a folder of labels, or both.")
    if labels is not None and towards == "sections":
        raise ParameterError("labels: those of a volume cannot be cut back into sections; needed: towards volume, or points alone.")
    report = align.read_alignment(alignment)
    table = None if points is None else read_table(points, COLUMNS, len(report.sections))
    stack = None if labels is None else stack_of(report, open_stack(labels, allow_gaps=True), labels)
    shape = (len(report.sections), *read_levels(alignment)[0].shape[1:])
    needed: tuple[Load, ...] = () if stack is None else loads(stack, shape, report.voxel_size_nm)
    disk = (0 if points is None else 2 * points.stat().st_size) + (0 if stack is None else disk_bytes(stack, shape))
    yield Plan(60_000_000, disk, 1, stages=needed)

    out.mkdir(exist_ok=True)
    if table is not None:
        write_points(out / POINTS, table, *carried(alignment, report, table, towards))
    if stack is not None:
        affines = tuple(Affine(section.affine) for section in report.sections)
        shown = Shown(Spool(stack, folder=out / SPOOL), affines, alignment, report.spacing_px, labels=True)
        create_volume(out / LABELS, shape=shape, dtype=stack.dtype, voxel_size_nm=report.voxel_size_nm, kind="labels")
        yield from decode(shown.sections)
        yield from render_volume(shown, out, LABELS)
        shutil.rmtree(out / SPOOL, ignore_errors=True)
    return Applied(0 if table is None else len(table.rows), 0 if stack is None else len(stack.files))


def carried(
    alignment: Path, report: align.AlignmentReport, table: Table, towards: Towards
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """z (n,) and places (n, 2) of the points where they go. Sections are counted as their files follow, also where they were
    swapped."""
    place_of = {section.number: section.z for section in report.sections}
    number_of = {z: number for number, z in place_of.items()}
    sections = np.rint(table.numbers[:, 0]).astype(np.int64)
    z, places = sections.copy(), table.numbers[:, 1:].copy()
    for asked in np.unique(sections).tolist():
        mine = sections == asked
        at = place_of[asked] if towards == "volume" else asked
        mapping = align.read_map(alignment, report, at)
        places[mine] = (mapping.invert() if towards == "volume" else mapping)(places[mine])
        z[mine] = at if towards == "volume" else number_of[asked]
    return z, places


def write_points(path: Path, table: Table, z: NDArray[np.int64], places: NDArray[np.float64]) -> None:
    """The table with the points where they went, to a thousandth of a px."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table.columns, lineterminator="\n")
        writer.writeheader()
        for row, plane, (y, x) in zip(table.rows, z.tolist(), places.tolist(), strict=True):
            writer.writerow({**row, "z": plane, "y": f"{y:.3f}", "x": f"{x:.3f}"})
