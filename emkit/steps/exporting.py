"""An alignment for another program. Points are (y, x), px, pixel centres at integers."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np

from emkit import align
from emkit.align.report import read_map
from emkit.errors import ParameterError
from emkit.io.alignments.formats import PROJECTS, Program, by_name, write_placed
from emkit.io.alignments.placed import PlacedSection, PlacedStack
from emkit.io.sections import open_stack
from emkit.params import Reads, Writes
from emkit.provenance import size_of
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.transforms import Affine


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what that program cannot keep or must be told."""

    program: str
    sections: int
    excluded: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        left_out = f", {self.excluded} of them left out of the matching" if self.excluded else ""
        return "\n".join([f"{self.sections} sections for {self.program}{left_out}", *(f"  {note}" for note in self.notes)])


@step
def export_alignment(
    volume: Annotated[Path, Reads("volume")],
    source: Annotated[Path, Reads("image folder")],
    *,
    out: Annotated[Path, Writes("table")],
    to: Program = "by-name",
    project: Annotated[Path, Reads("table")] | None = None,
    alignment: str = "emkit",
) -> Body[ExportReport]:
    """Write where the sections of an aligned volume lie as another program reads it.

    Affines are kept to 1e-9 px. With a project of that program all else in it stays as it is: traces, settings, notes.

    Parameters
    ----------
    volume
        The aligned volume, which holds alignment.json.
    source
        Folder of the sections that were aligned.
    out
        The file for the other program.
    to
        Which program. By its name, NAME.swiftir and NAME.align are for AlignEM-SWiFT, NAME.jser is for PyReconstruct, NAME.xml
        for TrakEM2, NAME.maps a folder of maps of AlignTK, NAME.mir a script for mir of SWiFT-IR, NAME.zarr the metadata of an
        OME-Zarr 0.6 scene, and NAME.txt holds a line n a b tx c d ty for each section, px, as PyReconstruct imports it.
    project
        A project of that program with the same sections, to which the alignment is added.
    alignment
        Of PyReconstruct: the name of the alignment there.
    """
    report, stack = align.read_alignment(volume), open_stack(source, allow_gaps=True)
    program = by_name(out, to, "out")
    names = {file.path.name for file in stack.files}
    if lacking := [section.file for section in report.sections if section.file not in names]:
        raise ParameterError(f"source: {volume} shows {lacking[0]}, which {source} does not hold. Give the folder it was made of.")
    if project and program not in PROJECTS:
        raise ParameterError(f"project: found {project}, but a file for {program} holds an alignment alone. Leave it out.")
    placed = placed_stack(volume, report, stack.shape)
    notes = remarks(program, placed)
    yield _plan(program, len(report.sections), prod(stack.shape), project)
    yield from stage("write", write_file, {"all": (out, program, placed, source.absolute(), alignment, project)}, "files")
    return ExportReport(program, len(report.sections), sum(section.excluded for section in report.sections), notes)


def _plan(program: str, sections: int, pixels: int, project: Path | None) -> Plan:
    """One task writes all; JSON takes many times its size while it is made, and a map its nodes. Measured."""
    held, size = {"AlignEM-SWiFT": (27_000, 2_500), "PyReconstruct": (7_000, 300)}.get(program, (1_000, 1_000))
    grid, of_grid = (pixels // 12, pixels // 85) if program == "AlignTK" else (0, 0)
    given = project.stat().st_size if project else 0
    load = Load(1, 2_200_000 + held * sections + 8 * given + grid, 0.3)
    return Plan(2_600_000, (size + of_grid) * sections + 2 * given, 0.2, stages=(load,))


def placed_stack(volume: Path, report: align.AlignmentReport, shape: tuple[int, int]) -> PlacedStack:
    """What the report of an alignment says, with the match of each section with the nearest one before it."""
    before = {pair.moving: pair for pair in sorted(report.pairs, key=lambda pair: pair.fixed)}
    sections = []
    for section in report.sections:
        pair = before.get(section.z)
        sections.append(
            PlacedSection(
                section.file,
                Affine(section.affine),
                shape,
                section.excluded,
                snr=(pair.snr,) if pair else (),
                reference=pair.fixed if pair else None,
                match=Affine(pair.affine) if pair else None,
                bent=read_map(volume, report, section.z) if section.field else None,
            )
        )
    return PlacedStack(tuple(sections), report.voxel_size_nm)


def remarks(program: str, stack: PlacedStack) -> tuple[str, ...]:
    """What whoever goes on there should know."""
    height, width = stack.sections[0].shape or (0, 0)
    notes = []
    if program == "AlignEM-SWiFT" and height != width:
        notes.append(
            f"PyReconstruct would read the sizes of sections that are not square ({height} x {width} px) the wrong way round and "
            "place them wrongly: give it a list of transforms (.txt) or its own project (.jser) instead"
        )
    if program != "AlignTK" and any(section.bent for section in stack.sections):
        grid = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 33) for n in (height, width)), indexing="ij"), axis=-1)
        lost = max(float(np.hypot(*np.moveaxis(one.mapping(grid) - one.affine(grid), -1, 0)).max()) for one in stack.sections)
        notes.append(f"the sections bend, which {program} cannot keep: what their affines leave out is up to {lost:.2f} px")
    return tuple(notes)


def write_file(out: Path, program: str, stack: PlacedStack, images: Path, alignment: str, project: Path | None) -> int:
    """One task: the file, and how many bytes it has."""
    write_placed(out, program, stack, images, alignment, project)
    return size_of(out)
