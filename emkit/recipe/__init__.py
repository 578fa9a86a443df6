"""A recipe: which steps to run, with what, as a TOML file that a person can read.

    step = "align_sections"                  one step, and a sweep: a list of values for some of its parameters
    [arguments]
    source = "raw"                           # paths start at the recipe's folder
    out = "aligned.ome.zarr"                 # in a sweep: aligned-max_shift_px=100.ome.zarr, …
    voxel_size_nm = [45.0, 4.6, 4.6]
    [sweep]
    max_shift_px = [100, 200]

    [[step]]                                 several steps, in their order; each has a name, its own if none is given
    name = "raw"
    step = "make_phantom"
    arguments = { out = "raw" }
    [[step]]
    name = "aligned"
    step = "align_sections"
    arguments = { source = "@raw", out = "aligned.ome.zarr", voxel_size_nm = [45.0, 4.6, 4.6] }
    [sweep]                                  # "@raw" is what the step `raw` writes; a file of this name is "./@raw"
    aligned.max_shift_px = [100, 200]
    [table]                                  # what the table of the sweep compares: a field of what a step returned
    error = "aligned.pairs.residual_px"
    aggregate = "median"

A step that does not depend on a swept value, by itself or through what it reads, is one call for all settings. `[follow]`
names the parameter that items of a folder are handed to, one by one; an output then holds `{stem}`, the item's name.
"""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from emkit.errors import EmkitError, ParameterError, PathError
from emkit.params import Call
from emkit.provenance import recipe_text as dumps
from emkit.recipe.form import Follow, One, Several, Table, refusal
from emkit.recipe.parts import Part, Reader, Recipe, in_word

__all__ = ["Follow", "Part", "Recipe", "Table", "dumps", "in_word", "load", "loads", "parse", "read"]


def load(file: Path) -> list[Call]:
    """The calls of a recipe file; its relative paths start at its folder."""
    return [part.call for part in read(file).parts]


def loads(text: str, base: Path) -> list[Call]:
    """The calls that the text asks for, in an order in which they can be done, with paths that start at `base`."""
    return [part.call for part in parse(text, base).parts]


def read(file: Path) -> Recipe:
    """A recipe file, checked as a whole; its relative paths start at its folder."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise PathError(f"recipe: {file} cannot be read ({unreadable}); needed: a TOML file.") from None
    return parse(text, file.absolute().parent, str(file))


def parse(text: str, base: Path, where: str = "the recipe", item: Path | None = None) -> Recipe:
    """The recipe that a text holds; errors name `where` it stands, the step and the key. `item`: what `[follow]` has found."""
    try:
        found = tomllib.loads(text)
        file = (Several if isinstance(found.get("step"), list) else One).model_validate(found)
    except tomllib.TOMLDecodeError as broken:
        raise ParameterError(f"{where} is no TOML: {broken}") from None
    except ValidationError as refused:
        raise ParameterError(refusal(where, refused)) from None
    try:
        return Reader(file, base, item).recipe()
    except EmkitError as refused:
        raise type(refused)(f"{where}: {refused}") from None
