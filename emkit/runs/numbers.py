"""By how much two results differ at most: voxels, pixels, tables, JSON. Volumes block by block, so that any size fits."""

import csv
import json
import math
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import EmkitError
from emkit.io.formats import format_of, open_array
from emkit.io.headers import read_header
from emkit.io.sections import SUFFIXES, read_section
from emkit.model import SectionFile, Shape, Stack
from emkit.progress import track

SIDE_PX = 128  # of the blocks that are read at once: 16 MB of the widest type
LARGEST_TEXT = 2**28  # bytes of a table or of JSON; of a larger one the digests must do


def largest_differences(first: Path, second: Path, names: list[str]) -> tuple[str, ...]:
    """A line for the voxels of two outputs, and one for each of the files `names` (which differ) that holds pixels or numbers."""
    if first.is_file() and second.is_file():
        return _lines([(first.name, _of_files(first, second))])
    files = [(name, first / name, second / name) for name in names]
    told = [(name, _of_files(a, b)) for name, a, b in files if a.is_file() and b.is_file()]
    return _lines([("voxels", _of_volumes(first, second)), *told])


def _lines(told: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{name}: {found}" for name, found in told if found)


class Largest:
    """The largest difference of all that it has seen, and how many values differ."""

    def __init__(self) -> None:
        self.most, self.where, self.differing, self.seen = 0.0, "", 0, 0

    def see(self, one: NDArray[Any], other: NDArray[Any]) -> None:
        """Two arrays of one shape and type. Not a number equals itself alone."""
        if one.dtype.kind == "f":
            equal = (one == other) | (np.isnan(one) & np.isnan(other))
            with np.errstate(invalid="ignore"):
                apart = np.where(equal, 0, np.abs(one - other))
            apart[np.isnan(apart)] = np.inf
        else:  # the difference of signed integers may not fit into their type, that of the larger and the smaller does unsigned
            unsigned = np.dtype(f"u{one.dtype.itemsize}")
            apart = np.maximum(one, other).view(unsigned) - np.minimum(one, other).view(unsigned)
        self.most = max(self.most, apart.max(initial=0).item())
        self.differing += int(np.count_nonzero(apart))
        self.seen += apart.size

    def see_number(self, one: float, other: float, where: str) -> None:
        self.seen += 1
        if one == other or (math.isnan(one) and math.isnan(other)):
            return
        apart = abs(one - other)
        apart = math.inf if math.isnan(apart) else apart
        self.differing += 1
        if apart > self.most:
            self.most, self.where = apart, where

    def __str__(self) -> str:
        if not self.differing:
            return f"all {self.seen} values are equal"
        where = f" at {self.where}" if self.where else ""
        return f"the largest difference is {self.most:g}{where}; {self.differing} of {self.seen} values differ"


def _of_volumes(first: Path, second: Path) -> str:
    if "sections" in (format_of(first), format_of(second)):
        return ""
    try:
        one, other = open_array(first), open_array(second)
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return f"{one.dtype} of {one.shape} and {other.dtype} of {other.shape}"
        found, blocks = Largest(), list(_blocks(one.shape))
        for block in track(blocks, "compare", "blocks"):
            found.see(one.read(block), other.read(block))
    except EmkitError as unreadable:
        return str(unreadable)
    return str(found)


def _blocks(shape: Shape) -> Iterator[Block]:
    spans = ([(low, min(low + SIDE_PX, size)) for low in range(0, size, SIDE_PX)] for size in shape)
    return (Block(*found) for found in product(*spans))


def _of_files(first: Path, second: Path) -> str:
    """Nothing for a file that holds no numbers we can read, or so many that the digests must do."""
    ending, size = first.suffix.lower(), max(first.stat().st_size, second.stat().st_size)
    try:
        if ending in SUFFIXES:
            return _of_images(first, second)
        if ending in (".json", ".csv") and size <= LARGEST_TEXT:
            read = _json if ending == ".json" else _table
            return _of_values(read(first), read(second))
    except (EmkitError, ValueError) as unreadable:
        return f"cannot be compared: {unreadable}"
    return ""


def _of_images(first: Path, second: Path) -> str:
    headers = [read_header(path) for path in (first, second)]
    if headers[0] != headers[1]:
        (a, b) = headers
        return f"{a.dtype} of {a.shape} px and {b.dtype} of {b.shape} px"
    one, other = (
        read_section(Stack((SectionFile(path, None),), header.shape, header.dtype), 0)
        for path, header in zip((first, second), headers, strict=True)
    )
    found = Largest()
    found.see(one, other)
    return str(found)


def _json(file: Path) -> Any:
    return json.loads(file.read_text())


def _table(file: Path) -> Any:
    with file.open(newline="") as opened:
        return [[_number(cell) for cell in row] for row in csv.reader(opened)]


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _of_values(first: Any, second: Any) -> str:
    found, others = Largest(), []
    for where, one, other in _pairs(first, second, ""):
        if isinstance(one, int | float) and isinstance(other, int | float):
            found.see_number(one, other, where)
        elif one != other:
            others.append(where)
    more = f"{others[0]} is another" + (f", as are {len(others) - 1} more" if others[1:] else "") if others else ""
    return "; ".join(filter(None, [str(found) if found.differing else "", more]))


def _pairs(one: Any, other: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """What stands at the same place in both, with its place: sections[0].affine."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _pairs(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list):
        for k, (a, b) in enumerate(zip_longest(one, other)):
            yield from _pairs(a, b, f"{where}[{k}]")
    else:
        yield where, one, other
