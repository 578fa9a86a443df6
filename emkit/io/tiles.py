"""The tiles of sections, and where the stage put each: from names, a CSV file, Fiji's TileConfiguration or a TrakEM2 project.

`open_tiles` reads names, positions and image headers, no pixels. Positions are (y, x), px, of a tile's first pixel. Image files are
looked for in the folder of the tiles only, by the name that is told or by its last part: projects come from other machines.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from emkit.errors import DataError, ParameterError, PathError
from emkit.io.headers import read_header
from emkit.io.sections import section_files
from emkit.io.trakem2 import NUMBER, read_project

FIELDS = {"section": "z", "row": "y", "column": "x"}
LARGEST = 500_000_000  # bytes of a file of positions


@dataclass(frozen=True)
class TileFile:
    """One tile: its image, and where its first pixel lies, (y, x) px."""

    path: Path
    origin: tuple[float, float]


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one section."""

    name: str
    tiles: tuple[TileFile, ...]


@dataclass(frozen=True)
class TileStack:
    """Sections of tiles, in order; every tile of one shape (y, x) and dtype."""

    sections: tuple[TileGrid, ...]
    shape: tuple[int, int]
    dtype: str


Told = tuple[str, str, float, float]  # section, name of the image, y, x


def open_tiles(folder: Path, positions: Path | None = None, pattern: str | None = None, overlap: float = 0.1) -> TileStack:
    """The tiles of a folder.

    ``positions`` is a CSV file (columns ``file``, ``y``, ``x``, px, and ``section`` if there are several), a TileConfiguration
    (.txt) or a TrakEM2 project (.xml, .xml.gz is to be unpacked). Else ``pattern`` reads the names: ``{section}``, ``{row}`` and
    ``{column}`` stand for numbers, as in ``s{section}_r{row}_c{column}.tif``, and neighbours share ``overlap`` of a tile.
    ParameterError, PathError or DataError, naming what does not fit.
    """
    if (positions is None) == (pattern is None):
        raise ParameterError("positions, pattern: found both or neither; needed: one of them, which tells where each tile lies.")
    if positions is None:
        files = section_files(folder)
        first = read_header(files[0])
        told = read_names([path.name for path in files], str(pattern), first.shape, overlap)
    else:
        told = read_positions(positions)
    if not told:
        raise DataError(f"{positions} names no tiles; needed: at least one image with its position.")
    grids: dict[str, list[TileFile]] = defaultdict(list)
    for section, name, y, x in told:
        grids[section].append(TileFile(find_image(folder, name), (y, x)))
    _check_once(grids.values())
    if wrong := [name for name in grids if not re.fullmatch(r"[\w.+-]+", name)]:
        raise DataError(f"{positions}: found a section named {wrong[0]!r}; needed: letters, digits, and . _ + - only.")
    sections = tuple(TileGrid(name, tuple(tiles)) for name, tiles in sorted(grids.items(), key=lambda item: _natural(item[0])))
    headers = {tile.path: read_header(tile.path) for grid in sections for tile in grid.tiles}
    kinds = {(header.shape, header.dtype): path for path, header in headers.items()}
    if len(kinds) > 1:
        found = "; ".join(f"{dtype} of {shape} px, such as {path.name}" for (shape, dtype), path in kinds.items())
        raise PathError(f"{folder} mixes tiles of different kinds: {found}. Needed: one size and pixel type for all.")
    ((shape, dtype),) = kinds
    return TileStack(sections, shape, dtype)


def read_names(names: Sequence[str], pattern: str, shape: tuple[int, int], overlap: float) -> list[Told]:
    """Tiles told by names that fit the pattern; others are passed over.

    >>> read_names(["s7_r0_c1.tif"], "s{section}_r{row}_c{column}.tif", (100, 200), 0.1)
    [('7', 's7_r0_c1.tif', 0.0, 180.0)]
    """
    shown = name_pattern(pattern)
    found = [(name, match.groupdict()) for name in names if (match := shown.fullmatch(name))]
    if not found:
        raise PathError(
            f"No name fits the pattern {pattern!r}; found names such as {names[0]}. Write the pattern as your names are."
        )
    step_y, step_x = ((1 - overlap) * n for n in shape)
    return [(at.get("section", "0"), name, int(at.get("row", 0)) * step_y, int(at.get("column", 0)) * step_x) for name, at in found]


def name_pattern(pattern: str) -> re.Pattern[str]:
    """What names of tiles are matched by: a group of digits for each of `FIELDS` that stands in the ``pattern``.

    ParameterError unless each stands once at most, and a row or a column does.
    """
    parts = re.split(r"\{(\w+)\}", pattern)
    asked = parts[1::2]
    if wrong := [part for part in asked if part not in FIELDS or asked.count(part) > 1]:
        raise ParameterError(
            f"pattern: found {{{wrong[0]}}} in {pattern!r}; needed: {{section}}, {{row}} and {{column}}, each once."
        )
    if not {"row", "column"} & {*asked}:
        raise ParameterError(f"pattern: found no {{row}} and no {{column}} in {pattern!r}; needed: one of them at least.")
    return re.compile("".join(f"(?P<{part}>[0-9]+)" if k % 2 else re.escape(part) for k, part in enumerate(parts)))


def read_positions(path: Path) -> list[Told]:
    """Tiles told by a file; its suffix says of which kind."""
    readers = {".csv": _read_csv, ".txt": _read_configuration, ".xml": _read_trakem2}
    if path.suffix.lower() not in readers:
        raise ParameterError(
            f"positions: found {path.name}; needed: .csv, .txt (Fiji TileConfiguration) or .xml (TrakEM2, unpacked)."
        )
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} holds more than {LARGEST:,} bytes; needed: a file of positions.")
        return readers[path.suffix.lower()](path)
    except UnicodeDecodeError as wrong:
        raise DataError(f"{path} is no text: {wrong.reason} at byte {wrong.start}. Needed: UTF-8.") from None


def find_image(folder: Path, name: str) -> Path:
    """The image of this name in the folder; of a path from elsewhere the last part."""
    inside = folder / name
    if not inside.resolve().is_relative_to(folder.resolve()) or not inside.is_file():
        inside = folder / PureWindowsPath(name).name  # knows / and \
    if not inside.is_file():
        raise PathError(f"{folder} holds no {PureWindowsPath(name).name}, which the positions name. Give the folder of the tiles.")
    return inside


def _read_csv(path: Path) -> list[Told]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        if missing := {"file", "y", "x"} - {*(rows.fieldnames or ())}:
            raise DataError(
                f"{path} has no column {', '.join(sorted(missing))}; needed: file, y, x, and section if there are several."
            )
        return [(row.get("section") or "0", row["file"], *_numbers(path, n, row["y"], row["x"])) for n, row in enumerate(rows, 2)]


def _read_configuration(path: Path) -> list[Told]:
    """Fiji's stitching plugins: ``name; ; (x, y)`` a line, or ``(x, y, z)`` with one section a z."""
    told: list[Told] = []
    for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text or text.startswith(("dim", "multiseries")):
            continue
        parts = [part.strip() for part in text.split(";")]
        if len(parts) != 3 or not (place := re.fullmatch(r"\(\s*([^,]+),([^,]+?)(?:,([^,]+))?\)", parts[2])):
            raise DataError(f"{path}, line {n}: found {line.strip()!r}; needed: name; ; (x, y).")
        x, y = _numbers(path, n, place[1], place[2])
        told.append((place[3].strip() if place[3] else "0", parts[0], y, x))
    return told


def _read_trakem2(path: Path) -> list[Told]:
    """Of the matrix of a patch the shift is used."""
    return [(patch.z, patch.file, patch.matrix[5], patch.matrix[4]) for patch in read_project(path).patches]


def _numbers(path: Path, line: int, *texts: str | None) -> tuple[float, float]:
    try:
        first, second = (float(text or "") for text in texts)
    except ValueError:
        where = f", line {line}" if line else ""
        raise DataError(f"{path}{where}: found the position {texts}; needed: two numbers, px.") from None
    return first, second


def _check_once(grids: Iterable[list[TileFile]]) -> None:
    seen: set[Path] = set()
    for tile in (tile for grid in grids for tile in grid):
        if tile.path in seen:
            raise DataError(f"{tile.path.name} is placed twice; needed: each tile once.")
        seen.add(tile.path)


def _natural(name: str) -> tuple[float, str]:
    """Numbers by their value, before all else."""
    return (float(name), "") if re.fullmatch(NUMBER, name) else (float("inf"), name)
