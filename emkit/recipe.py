"""A run as a TOML file: the step's name and its arguments; a `sweep` table gives several values of some.

step = "align_sections"
[arguments]
source = "raw"                       # paths are relative to the recipe's folder
out = "stack.ome.zarr"               # in a sweep: stack-max_shift_px=100.ome.zarr, …
voxel_size_nm = [45.0, 4.6, 4.6]
[sweep]
max_shift_px = [100, 200]
"""

import itertools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emkit.errors import ParameterError, PathError
from emkit.params import Call
from emkit.provenance import recipe_text as dumps
from emkit.steps import find

__all__ = ["dumps", "load", "loads"]


def load(file: Path) -> list[Call]:
    """The calls of a recipe file; its relative paths start at its folder."""
    try:
        return loads(file.read_text(), file.absolute().parent)
    except (OSError, UnicodeDecodeError) as unreadable:
        raise PathError(f"recipe: {file} cannot be read ({unreadable}); needed: a TOML file.") from None


def loads(text: str, base: Path) -> list[Call]:
    """The calls that the text asks for, one for each cell of its sweep, with paths that start at `base`."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        raise ParameterError(f"The recipe is no TOML: {broken}") from None
    if extra := found.keys() - {"step", "arguments", "sweep"}:
        raise ParameterError(f"The recipe holds {', '.join(sorted(extra))}; it may hold step, arguments and sweep.")
    function, arguments, sweep = find(found.get("step", "")), found.get("arguments", {}), found.get("sweep", {})
    if wrong := [name for name, values in sweep.items() if not isinstance(values, list)]:
        raise ParameterError(f"sweep: {', '.join(wrong)} holds one value; needed a list of values.")
    cells = [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]
    return [_placed(Call.of(function, {**arguments, **cell}), cell, base) for cell in cells]


def _placed(call: Call, cell: Mapping[str, Any], base: Path) -> Call:
    """Paths start at the base; what is written bears the cell in its name."""
    placed = call.placed(base)
    if not cell or (out := placed.out) is None:
        return placed
    stem, dot, ending = out.name.partition(".")
    return placed.with_out(out.with_name(f"{'-'.join([stem, *(f'{k}={v}' for k, v in cell.items())])}{dot}{ending}"))
