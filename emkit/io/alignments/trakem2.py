"""Alignments as projects of TrakEM2: one patch a layer, whose matrix takes points of the section to points of the common space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PureWindowsPath

from emkit.errors import DataError
from emkit.io.alignments.placed import (
    PlacedSection,
    PlacedStack,
    between_centres,
    between_edges,
    match_names,
    of_xy_rows,
    read_text,
    xy_rows,
)
from emkit.io.trakem2 import Patch, Project, new_project, read_project, with_matrices
from emkit.transforms import Affine


def read_trakem2(path: Path) -> PlacedStack:
    """The sections in order of their layers. DataError if a layer has several patches, or one that bends."""
    project = _sections(path)
    placed = []
    for patch in project.patches:
        a, b, c, d, tx, ty = patch.matrix
        affine = between_centres(of_xy_rows([[a, c, tx], [b, d, ty]]).invert())
        placed.append(PlacedSection(PureWindowsPath(patch.file).name, affine, patch.shape))
    pixel = project.pixel_nm
    return PlacedStack(tuple(placed), (project.patches[0].thickness * pixel, pixel, pixel) if pixel else None)


def write_trakem2(path: Path, stack: PlacedStack, images: Path, project: Path | None = None) -> None:
    """A new project of images in the folder ``images``, or ``project`` with other matrices and all else byte for byte."""
    matrices = [_matrix(section.affine) for section in stack.sections]
    if project is not None:
        held = _sections(project)
        files = [PureWindowsPath(patch.file).name for patch in held.patches]
        match_names(project, files, [section.file for section in stack.sections])
        in_file = read_project(project).patches  # its layers may stand in another order than their z
        by_z = dict(zip((patch.z for patch in held.patches), matrices, strict=True))
        path.write_text(with_matrices(read_text(project), [by_z[patch.z] for patch in in_file]), encoding="utf-8")
        return
    if stack.voxel_size_nm is None or stack.voxel_size_nm[1] != stack.voxel_size_nm[2]:
        raise DataError(f"TrakEM2 knows square px of one size; found {stack.voxel_size_nm} nm (z, y, x). Resample the sections.")
    thickness, pixel = stack.voxel_size_nm[0] / stack.voxel_size_nm[1], stack.voxel_size_nm[1]
    patches = [
        Patch(repr(n * thickness), thickness, str(images / section.file), matrix, section.shape, False)
        for n, (section, matrix) in enumerate(zip(stack.sections, matrices, strict=True))
    ]
    path.write_text(new_project(patches, pixel), encoding="utf-8")


def _matrix(affine: Affine) -> tuple[float, ...]:
    (a, c, tx), (b, d, ty) = xy_rows(between_edges(affine.invert()))
    return a, b, c, d, tx, ty


def _sections(path: Path) -> Project:
    """The project in order of z, with one patch a layer."""
    project = read_project(path)
    layers = [patch.z for patch in project.patches]
    if not layers or len(set(layers)) < len(layers):
        twice = next((z for z in layers if layers.count(z) > 1), None)
        found = "no patches" if twice is None else f"{layers.count(twice)} patches in the layer at z {twice}"
        raise DataError(f"{path} holds {found}; needed: one image a layer. Join tiles first: emkit montage-sections.")
    if bent := [patch.file for patch in project.patches if patch.bends]:
        raise DataError(f"{path}: {bent[0]} bends; needed: affines alone. Remove its coordinate transform in TrakEM2.")
    return replace(project, patches=tuple(sorted(project.patches, key=lambda patch: float(patch.z))))
