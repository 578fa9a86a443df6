"""Maps of AlignTK: for each section ``name.map``, where the nodes of a grid lie in the common space, and a list of the images.

A map is text, ``M1``, the level, width and height of the grid, the place of its first node, the names of image and reference,
then for each node x, y and a confidence, little-endian float32. Node (i, j) is the point (i, j) · 2^level of the image, x and y
are in the same unit; px have their edges at integers, and between nodes AlignTK interpolates linearly. Of a position of 10⁴ px,
float32 keeps 10⁻³ px. The list, ``images.lst``, holds ``name width height`` a line.

Source: AlignTK 1.0.2, `imio.c` (ReadMap, WriteMap) and `apply_map.c` (PaintImage).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emkit.errors import DataError
from emkit.io.alignments.placed import HALF, PlacedSection, PlacedStack, between_centres, read_text
from emkit.transforms import Affine, CoordinateMap, Floats

LIST = "images.lst"
LEVEL = 5  # a node every 32 px
NODE = np.dtype([("x", "<f4"), ("y", "<f4"), ("c", "<f4")])
BENT_PX = 0.05  # an affine is told by float32 to less, of sections of up to 10⁵ px


def read_maps(path: Path) -> PlacedStack:
    """The sections of a list ``path``, whose maps lie beside it. DataError if one is not whole, or bends."""
    sections = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, *size = line.split()
        if len(size) != 2 or not all(value.isdecimal() for value in size):
            raise DataError(f"{path}, line {number}: found {line.strip()!r}; needed: name width height.")
        affine = _affine(path.with_name(f"{name}.map"))
        sections.append(PlacedSection(name, affine, (int(size[1]), int(size[0]))))
    if not sections:
        raise DataError(f"{path} names no images; needed: name width height a line.")
    return PlacedStack(tuple(sections))


def _affine(file: Path) -> Affine:
    """Px of the common space → px of the section."""
    nodes, places = read_nodes(file)
    if len(nodes) < 3:
        raise DataError(f"{file} holds {len(nodes)} nodes with confidence; needed: three at least.")
    terms = np.column_stack([nodes, np.ones(len(nodes))])
    found, *_ = np.linalg.lstsq(terms, places, rcond=None)
    off = float(np.abs(terms @ found - places).max())
    if off > BENT_PX + 1e-6 * float(np.abs(places).max()):
        raise DataError(f"{file} bends: an affine is up to {off:.3g} px off. Needed: affines; render such sections in AlignTK.")
    return between_centres(Affine.of(found[:2].T, found[2]).invert())


def read_nodes(file: Path) -> tuple[Floats, Floats]:
    """The nodes of a map that have confidence, and where they lie in the common space, both (n, 2) points (y, x), px with their
    edges at integers. DataError if the file is no whole map."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file} is missing; needed: a map beside the list for each image that it names.") from None
    head = content.split(b"\n", 5)
    try:
        magic, level, size, first, _ = (line.decode("ascii").split() for line in head[:5])
        width, height, x, y, shift = (int(value) for value in (*size, *first, *level))
        if magic != ["M1"] or not 0 <= shift < 32 or len(head[5]) < width * height * NODE.itemsize:
            raise ValueError
    except (ValueError, IndexError):
        raise DataError(f"{file} is no whole map of AlignTK; needed: M1, five lines, and the nodes. Copy it again.") from None
    grid = np.frombuffer(head[5], NODE, width * height).reshape(height, width)
    rows, columns = np.nonzero(grid["c"] > 0)
    unit, known = 2.0**shift, grid[rows, columns]
    nodes: Floats = np.stack([rows + y, columns + x], axis=1).astype(np.float64) * unit
    places: Floats = np.stack([known["y"], known["x"]], axis=1).astype(np.float64) * unit
    return nodes, places


def write_maps(folder: Path, stack: PlacedStack) -> None:
    """A folder with the list and a map for each section, which bends as the section does; all shapes must be known."""
    folder.mkdir(exist_ok=True)
    lines = []
    for section in stack.sections:
        name, (height, width) = Path(section.file).stem, section.shape or (0, 0)
        if len(name.split()) != 1:
            raise DataError(f"AlignTK takes no spaces in names; found {section.file!r}. Rename the sections.")
        (folder / f"{name}.map").write_bytes(_map(name, section.mapping, height, width))
        lines.append(f"{name} {width} {height}\n")
    (folder / LIST).write_text("".join(lines))


def _map(name: str, mapping: CoordinateMap, height: int, width: int) -> bytes:
    unit = 2**LEVEL
    rows, columns = -(-height // unit) + 1, -(-width // unit) + 1
    nodes = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1) * float(unit)
    places = HALF.apply(mapping.invert().apply(HALF.invert().apply(nodes))) / unit
    grid = np.empty((rows, columns), NODE)
    grid["y"], grid["x"], grid["c"] = places[..., 0], places[..., 1], 1.0
    return f"M1\n{LEVEL}\n{columns} {rows}\n0 0\n{name} aligned\n".encode("ascii") + grid.tobytes()
