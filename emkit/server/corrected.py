"""A segmentation as its edits make it, where somebody looks: a zarr array that is nowhere stored. Axes are (z, y, x).

Chunks are made of the fragments, and of coarser levels of the cells there, whose voxels are looked up among the fragments where a
split went through them. The number of edits is part of an address, so that a viewer never mixes what it has kept.
"""

import json
import re
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.io.edits import Edit, read_edits
from emkit.io.ngff import group_document
from emkit.io.omezarr import open_level, read_region, read_volume
from emkit.io.stores import read_store
from emkit.io.virtual import plain_array
from emkit.membrane.fragments import Geometry
from emkit.model import Shape
from emkit.server.capability import Grant, sign
from emkit.server.correcting import correcting_key
from emkit.steps.correcting import Correctable
from emkit.steps.segmenting import FRAGMENTS
from emkit.view import Layer

CHUNKS: dict[bool, Shape] = {True: (1, 512, 512), False: (64, 64, 64)}  # by whether sections are looked at one by one
LARGEST = 1 << 27  # voxels of the full resolution that are decoded for a chunk; coarser levels show no split
KEY = re.compile(r"(\d+)/(?:zarr\.json|c/(\d+)/(\d+)/(\d+))")
Cells = NDArray[np.uint32]


class Corrected:
    """Key to bytes, as a zarr store answers, after the first edits of a segmentation. Raises as `Correctable.open`."""

    def __init__(self, path: Path) -> None:
        self.opened = Correctable.open(path)
        self._levels = read_volume(path).levels
        self._chunk = CHUNKS[Geometry.of(self.opened.full.voxel_size_nm, 3).flat]
        _, self._first = np.unique(self.opened.bonds.cells, return_index=True)  # of each cell, 0 included
        self._tables = lru_cache(maxsize=2)(self._table)

    def get(self, edits: int, key: str) -> bytes | None:
        """The bytes under a key after so many edits; None if a store would have none."""
        if key == "zarr.json":
            sizes = [level.voxel_size_nm for level in self._levels]
            steps = [tuple(round(c / f) for c, f in zip(*pair, strict=True)) for pair in zip(sizes[1:], sizes, strict=False)]
            factors = [(1, 1, 1), *((z, y, x) for z, y, x in steps)]
            return json.dumps(group_document("", "labels", sizes[0], factors, self._levels[0].origin_nm)).encode()
        if not (named := KEY.fullmatch(key)) or int(named[1]) >= len(self._levels):
            return None
        level = int(named[1])
        shape = self._levels[level].shape
        if named[2] is None:
            return json.dumps(plain_array(shape, self._chunk, "uint32")).encode()
        first = [int(at) * side for at, side in zip(named.groups()[1:], self._chunk, strict=True)]
        if any(low >= n for low, n in zip(first, shape, strict=True)):
            return None
        block = Block(*((low, min(low + side, n)) for low, side, n in zip(first, self._chunk, shape, strict=True)))
        chunk = np.zeros(self._chunk, np.uint32)  # at the rim a chunk is filled up
        chunk[tuple(slice(n) for n in block.shape)] = self._read(level, block, *self._tables(edits))
        return chunk.tobytes()

    def _table(self, edits: int) -> tuple[Cells, Cells, NDArray[np.bool_]]:
        """The cell of each fragment; that of each cell as it was, by its first fragment; and which of those are split."""
        of_fragment = self.opened.cells(read_edits(self.opened.edits)[:edits])
        before = self.opened.bonds.cells
        of_cell = of_fragment[self._first]
        split = np.zeros(len(of_cell), bool)
        split[before[of_fragment != of_cell[before]]] = True
        return of_fragment, of_cell, split

    def _read(self, level: int, block: Block, of_fragment: Cells, of_cell: Cells, split: NDArray[np.bool_]) -> Cells:
        if not level:
            full: Cells = of_fragment[read_region(self.opened.path / FRAGMENTS, 0, block)]
            return full
        cells = read_region(self.opened.path, level, block)
        found: Cells = of_cell[cells]
        where = np.nonzero(split[cells])
        if not len(where[0]):
            return found
        low, high = [int(axis.min()) for axis in where], [int(axis.max()) + 1 for axis in where]
        sizes = zip(self._levels[level].voxel_size_nm, self._levels[0].voxel_size_nm, strict=True)
        factors = [round(coarse / fine) for coarse, fine in sizes]
        if prod((b - a) * f for a, b, f in zip(low, high, factors, strict=True)) > LARGEST:
            return found
        spans = [
            slice((a + at) * f, (b + at - 1) * f + 1, f)
            for a, b, at, f in zip(low, high, (block.z[0], block.y[0], block.x[0]), factors, strict=True)
        ]
        fragments = read_store(open_level(self.opened.path / FRAGMENTS)[tuple(spans)])
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        same = split[cells[box]] & (self.opened.bonds.cells[fragments] == cells[box])
        found[box] = np.where(same, of_fragment[fragments], found[box])
        return found

    def edit(self, asked: Any) -> str:
        """Do what a page asks, and say what was done. ParameterError where it cannot be done, or is no such question."""
        match asked:
            case {"do": "undo"}:
                number, edit = self.opened.undo()
            case {"do": "merge" | "split" as kind, "points_nm": [[_, _, _] as one, [_, _, _] as other]}:
                number, edit = self.opened.edit(kind, self._voxel(one), self._voxel(other))
            case _:
                raise ParameterError("Needed: do (merge, split or undo), and points_nm (z, y, x) of two points.")
        return f"Edit {number}: {_did(edit)}"

    def _voxel(self, point_nm: list[Any]) -> Shape:
        full = self.opened.full
        try:
            offsets = [
                (float(at) - origin) / size for at, origin, size in zip(point_nm, full.origin_nm, full.voxel_size_nm, strict=True)
            ]
            z, y, x = (int(np.floor(offset + 0.5)) for offset in offsets)
        except (TypeError, ValueError, OverflowError):
            raise ParameterError(f"points_nm: found {point_nm}; needed: z, y, x in nm.") from None
        return z, y, x


def _did(edit: Edit) -> str:
    if edit.kind == "undo":
        return f"{edit.undoes} is undone"
    return "merged" if edit.kind == "merge" else f"split, {len(edit.pairs)} contacts cut"


def corrected(path: Path) -> Corrected:
    """Kept for as long as the segmentation is not replaced."""
    return _opened(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(path: Path, _changed_ns: int) -> Corrected:
    return Corrected(path)


def correctable_scene(scene: dict[str, Any], path: Path, key: bytes) -> dict[str, Any]:
    """The scene of a segmentation where its cells are shown as edits make them, and can be corrected. Raises as `Corrected`."""
    edits = len(read_edits(corrected(path).opened.edits))
    source = f"{{base}}emkit/correct/{sign(Grant(path), correcting_key(key))}/{edits}/|zarr3:"
    layer = Layer(f"{path.name.removesuffix('.ome.zarr')} (click to correct)", source, "labels").as_json()
    kept = [one for one in scene["layers"] if one["type"] != "segmentation"]
    return {**scene, "layers": [*kept, layer]}
