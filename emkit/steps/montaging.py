"""Tiles to sections: match overlaps, solve for places and lens, match the light, render. Images and points are (y, x), px."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from emkit import align
from emkit.align.blending import Light, bounds, match_light, render_montage
from emkit.align.lens import Coefficients, Lens
from emkit.align.montage import strip_pixels
from emkit.io.sections import create_section, fill_section, map_section, read_image
from emkit.io.tiles import TileGrid, TileStack, open_tiles
from emkit.params import Positive, Reads, Unit, Writes
from emkit.provenance import Written, partly
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.transforms import Affine, Chain, CoordinateMap, Rows

REPORT = "montage.json"
WINDOW_PX = 2048
HELD_TILES = 2  # that a task keeps decoded


@dataclass(frozen=True)
class SectionMontage:
    """One section. Tile i lies at ``affines[i]`` after the lens: tile px → canvas px, points (y, x).

    ``failed`` are pairs that should overlap and do not match, with their SNR; ``islands`` are tiles that hold together.
    """

    name: str
    files: tuple[str, ...]
    affines: tuple[Rows, ...]
    lens: Coefficients
    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    overlaps: int
    residual_px: float
    failed: tuple[tuple[int, int, float], ...]
    islands: tuple[tuple[int, ...], ...]
    swapped: bool
    size: tuple[int, int]


@dataclass(frozen=True)
class MontageReport:
    """All sections, on one canvas (y, x)."""

    canvas: tuple[int, int]
    tile: tuple[int, int]
    sections: tuple[SectionMontage, ...]

    def __str__(self) -> str:
        tiles, pairs = (sum(n) for n in zip(*((len(s.files), s.overlaps) for s in self.sections), strict=True))
        worst = max(section.residual_px for section in self.sections)
        told = [f"{len(self.sections)} sections of {tiles} tiles, {pairs} overlaps, median residual at most {worst:.2f} px"]
        for section in self.sections:
            if section.swapped:
                told.append(f"  {section.name}: positions were read as (x, y) where (y, x) is told: only so do the tiles match")
            for i, j, snr in section.failed:
                why = f"SNR {snr:.1f}" if snr else "one shows nothing there"
                told.append(f"  {section.name}: {section.files[i]} and {section.files[j]} do not match ({why})")
            for island in section.islands[1:]:
                names = ", ".join(section.files[i] for i in island)
                told.append(
                    f"  {section.name}: {names} {'hold' if len(island) > 1 else 'holds'} to no others, placed by stage position"
                )
        return "\n".join(told)


@step
def montage_sections(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("image folder")],
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive], Unit("nm")],
    positions: Annotated[Path, Reads("table")] | None = None,
    pattern: str | None = None,
    overlap: Annotated[float, Gt(0), Lt(1)] = 0.1,
    max_error_px: Annotated[int, Unit("px"), Gt(0)] | None = None,
    lens: bool = True,
) -> Body[MontageReport]:
    """Join the tiles of each section to one image.

    Overlaps are matched to hundredths of a px, places and a lens error that all tiles share are solved for at once, light is
    matched, and tiles fade into each other. Tiles that match nobody lie where the stage put them, and are named in the report,
    which the output holds as montage.json.

    Parameters
    ----------
    source
        Folder of the tiles, TIFF or PNG, all of one size.
    out
        Folder of the sections, one TIFF each, all of one size.
    voxel_size_nm
        Section thickness, pixel height, pixel width.
    positions
        Where the stage put the tiles: CSV (file, y, x, section), Fiji's TileConfiguration (.txt) or a TrakEM2 project (.xml).
    pattern
        Instead of positions, how the files are named, such as s{section}_r{row}_c{column}.tif.
    overlap
        With a pattern: the share of a tile that neighbours have in common.
    max_error_px
        By how much the stage may err from tile to tile; left out, a twentieth of a tile.
    lens
        Solve for a lens error.
    """
    stack = open_tiles(source, positions, pattern, overlap)
    yield _plan(stack, max_error_px)

    tasks = {grid.name: (grid, max_error_px, lens) for grid in stack.sections}
    solved = tuple((yield from stage("solve", solve_section, tasks, "sections")).values())
    height, width = (max(section.size[axis] for section in solved) for axis in (0, 1))
    report = MontageReport((height, width), stack.shape, solved)

    out.mkdir(exist_ok=True)
    files = {section.name: out / f"section_{_padded(section.name, solved)}.tif" for section in solved}
    made = {name: (file, report.canvas, stack.dtype, voxel_size_nm) for name, file in files.items()}
    yield from stage("create", new_section, made, "sections")
    windows = {
        f"{section.name}-{y}-{x}": (section, paths, stack.shape, stack.dtype, files[section.name], (y, x), report.canvas)
        for section, grid in zip(solved, stack.sections, strict=True)
        for paths in [tuple(tile.path for tile in grid.tiles)]
        for y in range(0, height, WINDOW_PX)
        for x in range(0, width, WINDOW_PX)
    }
    yield from stage("render", render_window, windows, "windows")
    (out / REPORT).write_text(json.dumps(asdict(report), indent=1) + "\n")
    return report


class Read(Sequence[NDArray[Any]]):
    """Tiles by number, read when asked for: from where they lie if the file is not packed, else few are kept."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._decoded = lru_cache(HELD_TILES)(read_image)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: Any, /) -> Any:
        mapped = map_section(self.files[i])
        return self._decoded(self.files[i]) if mapped is None else mapped


def solve_section(grid: TileGrid, max_error_px: int | None, lens: bool) -> SectionMontage:
    """One task: where the tiles of a section lie, on a canvas that begins where they do."""
    nominal = np.array([tile.origin for tile in grid.tiles])
    found = align.solve_montage(Read([tile.path for tile in grid.tiles]), nominal, search_px=max_error_px, lens=lens)
    ends = [bounds(one, found.shape) for one in found]
    low = np.floor(np.min([first for first, _ in ends], axis=0))
    height, width = (np.ceil(np.max([last for _, last in ends], axis=0)) - low + 1).astype(int).tolist()
    lights = match_light(len(found), found.overlaps)
    return SectionMontage(
        name=grid.name,
        files=tuple(tile.path.name for tile in grid.tiles),
        affines=tuple(Affine.translation(*-low).compose(affine).rows for affine in found.affines),
        lens=found.lens.coefficients,
        gains=tuple(light.gain for light in lights),
        offsets=tuple(light.offset for light in lights),
        overlaps=len(found.overlaps),
        residual_px=float(np.median(found.residual_px)) if found.residual_px else 0.0,
        failed=found.failed,
        islands=found.islands,
        swapped=found.swapped,
        size=(height, width),
    )


def new_section(file: Path, canvas: tuple[int, int], dtype: str, voxel_size_nm: tuple[float, float, float]) -> Written:
    """One task: an empty section."""
    create_section(file, canvas, dtype, voxel_size_nm)
    return partly(file.parent, file)


def render_window(
    section: SectionMontage,
    paths: tuple[Path, ...],
    shape: tuple[int, int],
    dtype: str,
    file: Path,
    start: tuple[int, int],
    canvas: tuple[int, int],
) -> Written:
    """One task: the pixels of one window of a section, from tiles of ``shape``."""
    lens = Lens(shape, section.lens)
    maps: list[CoordinateMap] = [Chain((lens, Affine(rows))) for rows in section.affines]
    lights = [Light(gain, offset) for gain, offset in zip(section.gains, section.offsets, strict=True)]
    size = (min(WINDOW_PX, canvas[0] - start[0]), min(WINDOW_PX, canvas[1] - start[1]))
    pixels = render_montage(Read(paths).__getitem__, shape, maps, lights, start, size, dtype)
    fill_section(file, *start, pixels)
    return partly(file.parent, file)


def _padded(name: str, sections: Sequence[SectionMontage]) -> str:
    """Numbers with zeros before them, so that names sort as the sections follow."""
    return name.zfill(max(len(section.name) for section in sections)) if name.isdigit() else name


def _plan(stack: TileStack, max_error_px: int | None) -> Plan:
    """A worker holds two tiles and a strip of an overlap, or a window and the tile it shows: what it has decoded and decodes, or of
    tiles that are not packed what it looks at, by whole rows. Measured."""
    tile, itemsize = prod(stack.shape) * np.dtype(stack.dtype).itemsize, np.dtype(stack.dtype).itemsize
    largest = max(stack.sections, key=lambda grid: len(grid.tiles))
    canvas = sum(len(grid.tiles) for grid in stack.sections) * tile
    decoded = 0 if map_section(largest.tiles[0].path) is not None else (HELD_TILES + 1) * tile
    strip = strip_pixels([one.origin for one in largest.tiles], stack.shape, max_error_px) * itemsize
    solve = Load(len(stack.sections), 25_000_000 + strip + (decoded or 2 * tile), 0.3 * len(largest.tiles))
    rows = min(2 * WINDOW_PX * stack.shape[1] * itemsize, 2 * tile)
    windows = max(len(stack.sections), canvas // (itemsize * WINDOW_PX**2))
    render = Load(windows, 25_000_000 + 26 * WINDOW_PX**2 + (decoded or rows), 3.0)
    return Plan(45_000_000, int(canvas * 1.1), stages=(solve, render))
