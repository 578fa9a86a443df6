"""The elastic part of `align_sections`: pairs compared cell by cell, then all sections solved window by window, some times.

What is between passes lies in a folder of the unfinished output, so that no task holds more than a pair or one window of all
sections. A window is solved with a halo, beyond which nothing reaches. In the end each section has its field, a file of the
output. Points are (y, x), px of the canvas.
"""

from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.align.agreement import Agreement
from emkit.align.fields import field_name
from emkit.align.refining import PASSES, SPACING_PX, STIFFNESS
from emkit.align.solving import spline_size
from emkit.align.stacking import Pair, best_splines, nearest
from emkit.align.windows import CELL_PX, TERMS, WINDOW_PX, agreement_of_cells, cell_px, cells_of_pair
from emkit.io.spool import Spool
from emkit.provenance import Written, await_files, written
from emkit.run.plan import Load
from emkit.run.stage import Stage, stage
from emkit.transforms import Affine, Elastic, Floats

WORK = "bending"  # a folder within the unfinished output
CORE, HALO = 64, 8  # coefficients of a window, and about it: what is told 8 of them away changes nothing

Range = tuple[int, int]


@dataclass(frozen=True)
class Bending:
    """What all tasks need: the sections, ``shrunk`` already; those of them that are ``linked``; the pairs of these; the canvas, px
    as imaged; and the folder of the output."""

    sections: Spool
    linked: tuple[int, ...]
    pairs: tuple[Pair, ...]
    shape: tuple[int, int]
    out: Path
    shrunk: int = 1
    still: int | None = None  # the section that does not bend
    core: int = CORE  # coefficients of a window

    @property
    def spacing_px(self) -> float:
        """Between coefficients: what is seen of fewer px bends less."""
        return SPACING_PX * self.shrunk

    def cells(self, k: int, pair: Pair) -> Path:
        """The file of what a pair said in pass ``k``."""
        return self.out / WORK / f"{k}" / f"pair_{pair[0]}_{pair[1]}.npy"

    def window(self, k: int, rows: Range, columns: Range) -> Path:
        """The file (linked sections, rows, columns, 2) of coefficients after pass ``k``."""
        return self.out / WORK / f"{k}" / f"window_{rows[0]}_{columns[0]}.npy"

    def windows(self) -> Iterator[tuple[Range, Range]]:
        """Ranges of rows and columns of coefficients, which tile them."""
        edges = [[*range(0, max(n - self.core // 2, 1), self.core), n] for n in spline_size(self.shape, self.spacing_px)]
        return product(*(zip(edge, edge[1:], strict=False) for edge in edges))

    def coefficients(self, k: int, z: int, rows: Range | None = None, columns: Range | None = None) -> Floats:
        """(rows, columns, 2) of a linked section after pass ``k``, all or some; before the first pass it is straight."""
        height, width = spline_size(self.shape, self.spacing_px)
        (top, bottom), (left, right) = rows or (0, height), columns or (0, width)
        asked = np.zeros((bottom - top, right - left, 2))
        place = bisect_left(self.linked, z)
        for (y0, y1), (x0, x1) in self.windows() if k >= 0 else ():
            a, b, c, d = max(y0, top), min(y1, bottom), max(x0, left), min(x1, right)
            if a < b and c < d:
                held = _mapped(self.window(k, (y0, y1), (x0, x1)))[place]
                asked[a - top : b - top, c - left : d - left] = held[a - y0 : b - y0, c - x0 : d - x0]
        return asked

    def elastic(self, k: int, z: int, affine: Affine) -> Elastic:
        """The map of a linked section after pass ``k``."""
        return Elastic(affine, self.coefficients(k, z), self.spacing_px)


@dataclass(frozen=True)
class Told(Mapping[Pair, Agreement]):
    """What pairs said of a window of coefficients in pass ``k``, read when it is asked for."""

    bending: Bending
    k: int
    rows: Range
    columns: Range

    def __getitem__(self, pair: Pair) -> Agreement:
        side = cell_px(PASSES[self.k][0], self.bending.shrunk)
        per = int(self.bending.spacing_px) // side
        # coefficient n lies n - 1 spacings from the edge: a window of them spans three fewer
        spans = [slice(first * per, (last - 3) * per) for first, last in (self.rows, self.columns)]
        cells = _mapped(self.bending.cells(self.k, pair))
        return agreement_of_cells(np.array(cells[spans[0], spans[1]]), side)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.bending.pairs)

    def __len__(self) -> int:
        return len(self.bending.pairs)


def bend_sections(bending: Bending, affines: Sequence[Affine]) -> Generator[Stage[Any], Any, None]:
    """Stages after which each section, linked or not, has its field in the output."""
    for k in range(len(PASSES) if bending.pairs else 0):
        compared = {f"{i}-{j}": (bending, k, (i, j), (affines[i], affines[j])) for i, j in bending.pairs}
        yield from stage(f"compare {k + 1}", compare_pair, compared, "pairs")
        solved = {f"{rows[0]}-{columns[0]}": (bending, k, rows, columns) for rows, columns in bending.windows()}
        yield from stage(f"bend {k + 1}", bend_window, solved, "windows")
    fields = {str(z): (bending, z) for z in range(len(affines))}
    yield from stage("fields", write_field, fields, "sections")


def compare_pair(bending: Bending, k: int, pair: Pair, affines: tuple[Affine, Affine]) -> Written:
    """One task: what a pair says, under its maps so far, of those of pass ``k``."""
    first, second = (bending.sections.section(z) for z in pair)
    before = bending.elastic(k - 1, pair[0], affines[0]), bending.elastic(k - 1, pair[1], affines[1])
    return _saved(bending, bending.cells(k, pair), cells_of_pair(first, second, before, bending.shape, *PASSES[k], bending.shrunk))


def bend_window(bending: Bending, k: int, rows: Range, columns: Range) -> Written:
    """One task: a window of all sections' coefficients after pass ``k``."""
    size = spline_size(bending.shape, bending.spacing_px)
    wide = [(max(first - HALO, 0), min(last + HALO, n)) for (first, last), n in zip((rows, columns), size, strict=True)]
    before = {z: bending.coefficients(k - 1, z, *wide) for z in bending.linked}
    after = best_splines(before, Told(bending, k, *wide), STIFFNESS, bending.spacing_px, bending.still)
    inner = tuple(slice(a - first, b - first) for (a, b), (first, _) in zip((rows, columns), wide, strict=True))
    solved = np.stack([after[z][inner] for z in bending.linked]).astype(np.float32)
    return _saved(bending, bending.window(k, rows, columns), solved)


def write_field(bending: Bending, z: int) -> Written:
    """One task: the coefficients of a section in the end; one that is not linked bends as its nearest linked neighbours do."""
    last = len(PASSES) - 1 if bending.pairs else -1
    about = [bending.coefficients(last, n) for n in nearest(bending.linked, z)] or [bending.coefficients(-1, z)]
    return _saved(bending, bending.out / field_name(z), np.mean(about, axis=0).astype(np.float32))


def _saved(bending: Bending, file: Path, array: NDArray[Any]) -> Written:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, array)
    return written(bending.out, file)


def _mapped(file: Path) -> NDArray[Any]:
    await_files(file)
    array: NDArray[Any] = np.load(file, mmap_mode="r")
    return array


def planned(shape: tuple[int, int], count: int, itemsize: int, shrunk: int = 1) -> tuple[tuple[Load, ...], int]:
    """What the stages need for ``count`` sections of ``shape``, and the bytes that lie on the disk meanwhile."""
    pixels, passes = prod(shape) // shrunk**2, len(PASSES)
    coefficients = 2 * prod(spline_size(shape, SPACING_PX * shrunk))
    cells = TERMS * 4 * pixels // CELL_PX**2
    window = min(pixels, WINDOW_PX**2)
    compare = Load(passes * 2 * count, 40_000_000 + 2 * itemsize * pixels + 54 * window + cells, 0.05 + 2e-7 * pixels)
    core = min(coefficients, 2 * (CORE + 2 * HALO) ** 2)
    bend = Load(passes * -(-coefficients // (2 * CORE**2)), 60_000_000 + count * core * 20 + core * 3_000, count * core * 1e-5)
    kept = passes * count * (2 * cells + 4 * coefficients) + 4 * count * coefficients
    return (compare, bend), kept
