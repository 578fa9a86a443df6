"""Projects of AlignEM-SWiFT, JSON (.swiftir, .align). Matrices are ``[[xx, xy, x0], [yx, yy, y0]]``, sizes (x, y).

Each section has for each level sN (shrunk N times) ``alt_cafm``, px of the section → px of the common space, and ``cafm``, the way
back; ``mir_afm`` and ``mir_aim`` (also ``affine_matrix``) are the same pair for a section and its reference, the last one before it
that is included. ``include`` false leaves a section out of the matching.

Projects of before 2023 keep ``data.scales.scale_N`` and call the matrix from the common space to the section ``cumulative_afm``;
they are read, not written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

from annotated_types import Len
from pydantic import BaseModel, ValidationError

from emkit.errors import DataError, ParameterError
from emkit.io.alignments.placed import PlacedSection, PlacedStack, match_names, of_xy_rows, read_json, xy_rows
from emkit.transforms import Affine

Matrix = Annotated[list[tuple[float, float, float]], Len(2, 3)]
WINDOW, MANUAL_WINDOW = 0.8125, 0.125  # of a section: what AlignEM-SWiFT begins with
SWIM = {"include": True, "clobber": False, "clobber_size": 3, "iterations": 3, "whitening": -0.68, "initial_rotation": 0.0}
IDENTITY = xy_rows(Affine())


class _Results(BaseModel):
    snr: float | list[float] = 0.0
    affine_matrix: Matrix | None = None


class _Settings(BaseModel):
    include: bool = True
    img_size: tuple[int, int]
    reference_index: int | None = None


class _Level(BaseModel):
    swim_settings: _Settings
    results: _Results = _Results()
    alt_cafm: Matrix | None = None
    cafm: Matrix | None = None

    @property
    def affine(self) -> Affine | None:
        """Px of the common space → px of the section, both of this level."""
        if self.alt_cafm is not None:
            return of_xy_rows(self.alt_cafm).invert()
        return None if self.cafm is None else of_xy_rows(self.cafm)


class _Section(BaseModel):
    name: str = ""
    levels: dict[str, _Level]


class _Images(BaseModel):
    resolution: dict[str, tuple[float, float, float]] = {}


class _Project(BaseModel):
    images: _Images = _Images()
    stack: Annotated[list[_Section], Len(1)]


class _OldResults(BaseModel):
    cumulative_afm: Matrix
    affine_matrix: Matrix | None = None
    snr: float | list[float] = 0.0


def read_alignem(path: Path, level: int | None = None) -> PlacedStack:
    """The alignment of a project at ``level`` (the N of sN), or at the finest that has one, in px of the full images.

    DataError if the file is no such project, ParameterError if it has no such level.
    """
    found = read_json(path)
    try:
        if "stack" not in found and "data" in found:
            return _read_old(path, found["data"]["scales"], level)
        return _read_new(path, _Project.model_validate(found), level)
    except ValidationError as wrong:
        error = wrong.errors()[0]
        lack = f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
    except (LookupError, TypeError, ValueError) as wrong:
        lack = f"it lacks {wrong}"
    raise DataError(f"{path} is no project of AlignEM-SWiFT: {lack}. Needed: one that it has saved (.swiftir, .align).")


def _read_new(path: Path, project: _Project, level: int | None) -> PlacedStack:
    names = project.stack[0].levels.keys()
    levels = {int(name[1:]): [section.levels[name] for section in project.stack] for name in names}
    affines = {n: [affine for one in several if (affine := one.affine)] for n, several in levels.items()}
    whole = {n: found for n, found in affines.items() if len(found) == len(project.stack)}
    factor = _chosen(path, whole, level)
    sections = []
    for section, one, affine in zip(project.stack, levels[factor], whole[factor], strict=True):
        width, height = section.levels["s1"].swim_settings.img_size
        snr, match = one.results.snr, one.results.affine_matrix
        sections.append(
            PlacedSection(
                file=section.name,
                affine=affine.enlarged(factor),
                shape=(height, width),
                excluded=not one.swim_settings.include,
                snr=_several(snr),
                reference=one.swim_settings.reference_index,
                match=None if match is None else of_xy_rows(match).enlarged(factor),
            )
        )
    size = project.images.resolution.get("s1")
    return PlacedStack(tuple(sections), None if size is None else (size[2], size[1], size[0]))


def _read_old(path: Path, scales: dict[str, Any], level: int | None) -> PlacedStack:
    stacks = {int(name.removeprefix("scale_")): scale.get("stack") or scale["alignment_stack"] for name, scale in scales.items()}
    methods = {n: [s.get("alignment") or s["align_to_ref_method"] for s in stack] for n, stack in stacks.items()}
    results = {n: [_OldResults.model_validate(m["method_results"]) for m in method] for n, method in methods.items()}
    affines = {n: [of_xy_rows(one.cumulative_afm) for one in several] for n, several in results.items()}
    factor = _chosen(path, affines, level)
    size = scales["scale_1"].get("image_src_size")
    sections, before = [], None
    for z, (section, one, affine) in enumerate(zip(stacks[factor], results[factor], affines[factor], strict=True)):
        name = section.get("filename") or section["images"]["base"]["filename"]
        excluded = bool(section.get("skip", section.get("skipped", False)))
        sections.append(
            PlacedSection(
                file=PureWindowsPath(name).name,
                affine=affine.enlarged(factor),
                shape=None if size is None else (int(size[1]), int(size[0])),
                excluded=excluded,
                snr=_several(one.snr),
                reference=before,
                match=None if one.affine_matrix is None else of_xy_rows(one.affine_matrix).enlarged(factor),
            )
        )
        before = before if excluded else z
    return PlacedStack(tuple(sections))


def _several(snr: float | list[float]) -> tuple[float, ...]:
    """Nothing but zeros is what stands there before a match."""
    windows = snr if isinstance(snr, list) else [snr]
    return tuple(windows) if any(windows) else ()


def _chosen(path: Path, affines: dict[int, list[Affine]], level: int | None) -> int:
    """The level that was asked for, or the finest at which something has moved, or the finest."""
    if not affines:
        raise DataError(f"{path} has no level at which all sections are aligned. Align one in AlignEM-SWiFT, and save the project.")
    if level is not None and level not in affines:
        raise ParameterError(f"level: found {level}; {path} is aligned at {', '.join(map(str, sorted(affines)))}.")
    moved = [n for n, several in affines.items() if any(affine != Affine() for affine in several)]
    return level or min(moved or affines)


def write_alignem(path: Path, stack: PlacedStack, images: Path, project: Path | None = None) -> None:
    """The alignment as a project: a new one with the level s1, or all of ``project`` with its matrices and SNR replaced.

    ``images`` is the folder of the sections, which are of one known shape. Of a given project settings, notes and levels stay.
    """
    held = _new_project(stack, images) if project is None else read_json(project)
    if project is not None:
        if not isinstance(held.get("stack"), list):
            raise DataError(f"{project} is no project that AlignEM-SWiFT writes today. Open and save it there, and give it again.")
        match_names(project, [str(section.get("name", "")) for section in held["stack"]], [one.file for one in stack.sections])
    before: tuple[int, Affine] | None = None
    for z, (section, placed) in enumerate(zip(held["stack"], stack.sections, strict=True)):
        relative = placed.affine.compose(before[1].invert()) if before else placed.affine
        for name, level in section["levels"].items():
            _place(level, placed, relative, int(name[1:]))
            reference = held["stack"][before[0]]["name"] if before else None
            level["swim_settings"].update(reference_index=before[0] if before else None, reference_name=reference)
        if not placed.excluded:
            before = z, placed.affine
    for level in held["level_data"].values():
        level["aligned"] = True
    path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def _place(level: dict[str, Any], placed: PlacedSection, relative: Affine, factor: int) -> None:
    """Write into a level of a section where it lies; ``relative`` is the affine from its reference."""
    affine, aim = placed.affine.shrunk(factor), xy_rows(relative.shrunk(factor))
    afm, snr = xy_rows(relative.shrunk(factor).invert()), list(placed.snr) or [0.0]
    mean = sum(snr) / len(snr)
    deviation = (sum((one - mean) ** 2 for one in snr) / len(snr)) ** 0.5
    found = {"affine_matrix": aim, "mir_aim": aim, "mir_afm": afm, "snr": snr}
    level.update(
        found, initialized=True, cafm=xy_rows(affine), cafm_inv=xy_rows(affine.invert()), alt_cafm=xy_rows(affine.invert())
    )
    level.setdefault("results", {}).update(found, snr_mean=mean, snr_std_deviation=deviation, std_deviation=deviation)
    level["swim_settings"]["include"] = not placed.excluded


def _new_project(stack: PlacedStack, images: Path) -> dict[str, Any]:
    """What AlignEM-SWiFT makes of new images, without dates and machines: equal alignments give equal projects."""
    shape = stack.sections[0].shape
    if shape is None or any(section.shape != shape for section in stack.sections):
        raise DataError("AlignEM-SWiFT needs sections of one size; found several, or none told.")
    height, width = shape
    count, size_nm = len(stack.sections), stack.voxel_size_nm or (50.0, 2.0, 2.0)
    names = [section.file for section in stack.sections]
    told = str(uuid5(NAMESPACE_URL, json.dumps([names, shape, [section.affine.rows for section in stack.sections]])))
    grid, manual = _methods(width, height)
    return {
        "info": {
            "images_path": str(images), "file_path": "", "version": "0.6.0", "created": "", "system": "", "node": "",
            "alignment_uuid": told, "images_uuid": told,
        },
        "images": {
            "name": images.name, "uuid": told, "created": "", "scale_factors": [1], "levels": ["s1"], "count": count,
            "paths": [str(images / name) for name in names], "size_xy": {"s1": [width, height]},
            "size_zyx": {"s1": [count, height, width]}, "resolution": {"s1": [size_nm[2], size_nm[1], size_nm[0]]},
            "chunkshape": {"s1": [1, 512, 512]}, "cname": "none", "clevel": 5, "has_cal_grid": False,
            "cal_grid": {"has": False, "file_path": None}, "thumbnail_scale_factor": max(1, max(shape) // 512),
        },
        "stack": [_new_section(z, name, (width, height), grid) for z, name in enumerate(names)],
        "level_data": {
            "s1": {
                "defaults": {**SWIM, "method_opts": grid}, "swim_presets": SWIM, "method_presets": {"grid": grid, "manual": manual},
                "zarr_made": False, "chunkshape": [4, 512, 512], "initial_snr": None, "aligned": True, "alignment_ready": True,
                "output_settings": {"bounding_box": {"use": False, "has": False, "size": None}, "polynomial_bias": None},
                "results": {},
            },
        },
        "timings": {"levels": {"s1": {}}, "t_scaling": 0.0, "t_scaling_convert_zarr": 0.0, "t_thumbs": 0.0},
        "state": {
            "level": "s1", "z_position": 0, "padlock": False, "current_tab": 0, "gif_speed": 100, "zarr_viewing": "raw",
            "viewer_quality": "s1", "tra_ref_toggle": "tra", "targ_karg_toggle": 1, "annotate_match_signals": True,
            "neuroglancer": {
                "layout": "4panel", "zoom": 1.0, "blink": False, "show_controls": False, "show_bounds": False, "show_axes": True,
                "show_scalebar": True, "transformed": True, "region_selection": {"select_by": "cycle"},
            },
        },
        "rendering": {"normalize": [1, 255], "brightness": 0, "contrast": 0, "shader": ""},
        "protected": {"results": {}, "force_reallocate_zarr_flag": True},
    }  # fmt: skip


def _new_section(z: int, name: str, size: Sequence[int], grid: dict[str, Any]) -> dict[str, Any]:
    settings = {"index": z, "name": name, "level": "s1", "is_refinement": False, "img_size": [*size], "init_afm": IDENTITY}
    level = {"swim_settings": {**settings, **SWIM, "method_opts": grid}, "points": {}, "results": {}}
    return {"index": z, "name": name, "levels": {"s1": level}, "notes": ""}


def _methods(width: int, height: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The grid of windows and the windows about points, of sections of a size, px; SWIM wants even numbers."""
    whole, quarter = ([2 * round(share * n / 2) for n in (width, height)] for share in (WINDOW, WINDOW / 2))
    nowhere = {role: [[None, None]] * 3 for role in ("tra", "ref")}
    points = {"coords": {"tra": [None] * 3, "ref": [None] * 3}, "ng_coords": nowhere, "mir_coords": nowhere}
    grid = {"method": "grid", "quadrants": [1, 1, 1, 1], "size_1x1": whole, "size_2x2": quarter}
    return grid, {"method": "manual", "mode": "hint", "size": MANUAL_WINDOW, "points": points}
