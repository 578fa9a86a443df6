"""Alignments as a scene of OME-Zarr 0.6: a group whose metadata name a coordinate system for each section and one for the volume.

Each section has an affine from its system to that of the volume, all axes (z, y, x) in nanometres, the first px of each at 0.
OME-Zarr 0.5, which volumes are written in, knows scales and translations only. What 0.6 has no word for stands beside it: the
size of a voxel, and which sections were left out. Source: https://ngff.openmicroscopy.org/0.6, `scene` and `affine`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Len
from pydantic import BaseModel, ValidationError

from emkit.errors import DataError
from emkit.io.alignments.placed import PlacedSection, PlacedStack, read_json
from emkit.model import SizeNm
from emkit.transforms import Affine

VERSION, ALIGNED, FILE = "0.6", "aligned", "zarr.json"
Positive = Annotated[float, Gt(0)]
Row = tuple[float, float, float, float]


class _System(BaseModel):
    name: str


class _Transformation(BaseModel):
    type: Literal["affine"]
    input: _System
    output: _System
    affine: tuple[Row, Row, Row]


class _Scene(BaseModel):
    coordinateTransformations: Annotated[list[_Transformation], Len(1)]


class _Ome(BaseModel):
    version: str
    scene: _Scene


class _Emkit(BaseModel):
    voxel_size_nm: tuple[Positive, Positive, Positive]
    excluded: list[str] = []


class _Attributes(BaseModel):
    ome: _Ome
    emkit: _Emkit


class _Group(BaseModel):
    attributes: _Attributes


def read_scene(path: Path) -> PlacedStack:
    """The sections of a scene, the zarr.json at ``path``, in the order of their z. DataError if it is none that emkit wrote."""
    try:
        told = _Group.model_validate(read_json(path)).attributes
    except ValidationError as wrong:
        error = wrong.errors()[0]
        where = ".".join(map(str, error["loc"]))
        raise DataError(f"{path} is no scene of sections: {where}: {error['msg']}. Needed: one that emkit wrote.") from None
    placed = []
    for one in sorted(told.ome.scene.coordinateTransformations, key=lambda one: one.affine[0][3]):
        (_, yy, yx, y0), (_, xy, xx, x0) = one.affine[1:]
        transform = _pixels(told.emkit.voxel_size_nm, Affine(((yy, yx, y0), (xy, xx, x0))))
        placed.append(PlacedSection(one.input.name, transform.invert(), excluded=one.input.name in told.emkit.excluded))
    return PlacedStack(tuple(placed), told.emkit.voxel_size_nm)


def write_scene(folder: Path, stack: PlacedStack) -> None:
    """A group without images. DataError if the size of a voxel is not known."""
    if stack.voxel_size_nm is None:
        raise DataError("A scene is in nanometres, and the size of a voxel is not known. Give it.")
    size, names = stack.voxel_size_nm, [section.file for section in stack.sections]
    transformations = [_transformation(z, section, size) for z, section in enumerate(stack.sections)]
    systems = [_system(name) for name in (ALIGNED, *names)]
    ome = {"version": VERSION, "scene": {"coordinateSystems": systems, "coordinateTransformations": transformations}}
    own = {"voxel_size_nm": size, "excluded": [section.file for section in stack.sections if section.excluded]}
    folder.mkdir(exist_ok=True)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, "emkit": own}}
    (folder / FILE).write_text(json.dumps(group, indent=1) + "\n")


def _system(name: str) -> dict[str, Any]:
    return {"name": name, "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]}


def _transformation(z: int, section: PlacedSection, size_nm: SizeNm) -> dict[str, Any]:
    nanometres = Affine.of([[size_nm[1], 0], [0, size_nm[2]]], [0, 0])
    (yy, yx, y0), (xy, xx, x0) = nanometres.compose(section.affine.invert()).compose(nanometres.invert()).rows
    affine = [[1.0, 0.0, 0.0, z * size_nm[0]], [0.0, yy, yx, y0], [0.0, xy, xx, x0]]
    return {"type": "affine", "input": {"name": section.file}, "output": {"name": ALIGNED}, "affine": affine}


def _pixels(size_nm: SizeNm, affine: Affine) -> Affine:
    """From nanometres to px."""
    nanometres = Affine.of([[size_nm[1], 0], [0, size_nm[2]]], [0, 0])
    return nanometres.invert().compose(affine).compose(nanometres)
