"""Projects of PyReconstruct, JSON (.jser): of each section the file name of its image and its transforms by alignment, see `field`.

``sections`` is a list in which null stands for a number that has no section; ``mag`` is the size of a px, ``thickness`` that of a
section, µm. Projects of before 2023 hold each section beside the series, as NAME.number and NAME.ser. Either form is read and
written back as it is: all else in it, such as traces and flags, is not even looked at.
"""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from annotated_types import Gt, Len
from pydantic import BaseModel, ValidationError

from emkit.errors import DataError, ParameterError
from emkit.io.alignments.field import of_six, to_six
from emkit.io.alignments.placed import PlacedSection, PlacedStack, match_names, read_json

NM_PER_UM = 1000.0
NONE = "no-alignment"  # what PyReconstruct calls sections as they were imaged; it takes no other alignment of that name
SIX = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


class _Section(BaseModel):
    src: str
    mag: Annotated[float, Gt(0)]
    thickness: float = 0.0
    tforms: dict[str, Annotated[list[float], Len(6, 6)]] = {}
    calgrid: bool = False


def read_jser(path: Path, shape: tuple[int, int], alignment: str | None = None) -> PlacedStack:
    """An alignment of a project, or the one that is open in it; its images are of ``shape`` (y, x) px.

    DataError if the file is no such project, ParameterError with those it has if it lacks the alignment.
    """
    sections, series = _parts(path, read_json(path))
    told = [_told(path, number, section) for number, section in sections.items()]
    name = alignment or str(series.get("alignment", "default"))
    common = told[0].mag
    placed = []
    for one in told:
        if name != NONE and name not in one.tforms:
            raise ParameterError(f"alignment: found {name!r}; {path} has {', '.join([*one.tforms, NONE])} for {one.src}.")
        six = SIX if name == NONE else one.tforms[name]
        affine = of_six(six, shape[0], shape[0], one.mag, common)
        placed.append(PlacedSection(PureWindowsPath(one.src).name, affine, shape, excluded=one.calgrid))
    size = (told[0].thickness * NM_PER_UM, common * NM_PER_UM, common * NM_PER_UM)
    return PlacedStack(tuple(placed), size if size[0] > 0 else None)


def write_jser(path: Path, stack: PlacedStack, images: Path, alignment: str, project: Path | None = None) -> None:
    """The alignment, under this name, in a new project of images in the folder ``images``, or in a copy of ``project``.

    The sections' shapes must be known. DataError if the project is of other sections, ParameterError if it has the alignment.
    """
    held = _new_project(stack, images) if project is None else read_json(project)
    sections, series = _parts(project or path, held)
    match_names(project or path, [PureWindowsPath(s["src"]).name for s in sections.values()], [s.file for s in stack.sections])
    told = [_told(project or path, number, section) for number, section in sections.items()]
    height = stack.sections[0].shape[0] if stack.sections[0].shape else 0
    for section, one, placed in zip(sections.values(), told, stack.sections, strict=True):
        if alignment == NONE or alignment in one.tforms:
            raise ParameterError(
                f"alignment: {project} has {alignment!r} for {one.src}. Give another name; nothing is overwritten."
            )
        own = placed.shape[0] if placed.shape else height
        section.setdefault("tforms", {})[alignment] = to_six(placed.affine, own, height, one.mag, told[0].mag)
    series["alignment"] = alignment
    path.write_text(json.dumps(held), encoding="utf-8")


def _parts(path: Path, held: dict[str, Any]) -> tuple[dict[int, Any], dict[str, Any]]:
    """The sections by their numbers, in order, and the series, as they stand in the project."""
    if isinstance(held.get("sections"), list) and isinstance(held.get("series"), dict):
        numbered, series = dict(enumerate(held["sections"])), held["series"]
    else:
        endings = {key.rpartition(".")[2]: value for key, value in held.items()}
        numbered, series = {int(end): value for end, value in endings.items() if end.isdecimal()}, endings.get("ser")
    sections = {number: numbered[number] for number in sorted(numbered) if numbered[number] is not None}
    if not sections or not isinstance(series, dict):
        raise DataError(f"{path} is no project of PyReconstruct; needed: sections and a series, as its .jser files hold.")
    return sections, series


def _told(path: Path, number: int, section: Any) -> _Section:
    try:
        return _Section.model_validate(section)
    except ValidationError as wrong:
        error = wrong.errors()[0]
        where = ".".join(map(str, error["loc"]))
        raise DataError(f"{path} is no project of PyReconstruct: section {number}, {where}: {error['msg']}.") from None


def _new_project(stack: PlacedStack, images: Path) -> dict[str, Any]:
    """Sections without traces; what else a series has PyReconstruct fills in when it opens it."""
    if stack.voxel_size_nm is None or stack.voxel_size_nm[1] != stack.voxel_size_nm[2]:
        raise DataError(
            f"PyReconstruct knows square px of one size; found {stack.voxel_size_nm} nm (z, y, x). Resample the sections."
        )
    thickness, mag, _ = (nm / NM_PER_UM for nm in stack.voxel_size_nm)
    sections = [
        {
            "src": placed.file, "brightness_contrast_profiles": {"default": [0, 0]}, "mag": mag, "align_locked": True,
            "tforms": {"default": SIX}, "thickness": thickness, "contours": {}, "flags": [], "calgrid": False,
        }
        for placed in stack.sections
    ]  # fmt: skip
    height, width = stack.sections[0].shape or (1, 1)
    series = {"current_section": 0, "src_dir": str(images), "window": [0, 0, width * mag, height * mag], "options": {}}
    return {"sections": sections, "series": series, "log": "Date, Time, User, Obj, Sections, Event"}
