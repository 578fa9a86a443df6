"""What may stand in a recipe file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Table(_Strict):
    """What the table of a sweep compares. `error`: STEP.FIELD… of what a step returned, in a list that of each item."""

    error: str | None = None
    aggregate: Literal["mean", "median", "max", "sum", "last"] = "mean"
    time: list[str] | None = None  # steps whose time counts; left out, all that depend on a swept value


class Follow(_Strict):
    """Which parameter (STEP.PARAMETER where there are several steps) the items of a folder are handed to, and which are items.

    Items that are folders are whole once they hold so many `files` that fit `of`. Where the tiles of all sections come into one
    folder, `sections` says how they are named, and an item is a folder of links to those of a section, in the folder `into`.
    """

    argument: str
    pattern: str = "*"
    files: Annotated[int, Field(ge=0)] = 0
    of: str = "*"
    sections: str = ""
    into: str = ""


class Step(_Strict):
    step: str
    name: Annotated[str, Field(pattern=r"^[\w-]*$")] = ""
    arguments: dict[str, Any] = {}


class File(_Strict):
    sweep: dict[str, Any] = {}
    table: Table = Table()
    follow: Follow | None = None


class One(File):
    step: str
    arguments: dict[str, Any] = {}


class Several(File):
    step: Annotated[list[Step], Field(min_length=1)]


def refusal(where: str, refused: ValidationError) -> str:
    """What is wrong with the form, a line for each."""
    return "\n".join(_say(where, error) for error in refused.errors())


def _say(where: str, error: Mapping[str, Any]) -> str:
    place = "".join(f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{where}: {place} is not known here; a recipe holds step, arguments, sweep, table and follow."
    if error["type"] == "missing":
        return f"{where}: {place} is missing."
    return f"{where}: {place}: found {error['input']!r}, needed {error['msg'].removeprefix('Input should be ')}"
