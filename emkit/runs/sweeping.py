"""The table of a sweep: for each setting the time it took and how wrong its result is; as text, CSV and picture.

Time is that of the parts which depend on a swept value, told by the records of their outputs, so that a part which was done
long ago tells the time that it took then. The error is one number, aggregated from a field of what a step returned; the
accumulated error is the running sum of it down the table, in the order of the sweep. A setting that failed adds nothing.
"""

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emkit.errors import ParameterError
from emkit.plotting import Line, Panel, draw
from emkit.recipe import Part, Recipe, in_word
from emkit.recipe.form import Table

AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "max": max,
    "sum": sum,
    "last": lambda values: values[-1],
}


@dataclass(frozen=True)
class Outcome:
    """What came of a part: what its step returned, as JSON, and the seconds it took; or why it failed. `kept`: was there before."""

    part: Part
    result: Any = None
    seconds: float = 0.0
    kept: bool = False
    error: str = ""

    def __str__(self) -> str:
        told = f"failed: {self.error}" if self.error else "kept" if self.kept else f"done in {self.seconds:.1f} s"
        return f"{self.part.label}: {told}" + (f": {self.part.call.out}" if self.part.call.out and not self.error else "")

    def facts(self) -> dict[str, Any]:
        """As JSON; what the step returned stands beside its output."""
        out = self.part.call.out
        told = {"part": self.part.label, "out": out and str(out), "seconds": self.seconds, "kept": self.kept, "error": self.error}
        return told if out else {**told, "result": self.result}


@dataclass(frozen=True)
class Row:
    """A setting of the sweep; the seconds and the error are None where it failed, the error also where none is asked for."""

    setting: Mapping[str, Any]
    seconds: float | None
    error: float | None
    accumulated: float | None
    failed: str


def rows(recipe: Recipe, outcomes: Mapping[str, Outcome]) -> list[Row]:
    """The table: a row for each setting, in the order of the sweep. ParameterError if the error cannot be told from the results."""
    made, total = [], 0.0
    for setting in recipe.settings:
        needed = [outcomes[part.label] for part in recipe.at(setting)]
        if failed := next((one for one in needed if one.error), None):
            made.append(Row(setting, None, None, None, f"{failed.part.name}: {failed.error}"))
            continue
        counted = recipe.table.time or [one.part.name for one in needed if one.part.setting]
        seconds = sum(one.seconds for one in needed if one.part.name in counted)
        error = _error(recipe.table, needed)
        total += error or 0.0
        made.append(Row(setting, seconds, error, None if error is None else total, ""))
    return made


def _error(table: Table, needed: list[Outcome]) -> float | None:
    if table.error is None:
        return None
    step, *path = table.error.split(".")
    result = next(one.result for one in needed if one.part.name == step)
    if not (values := list(_numbers(result, path))):
        raise ParameterError(f"table.error: {table.error} is no number in what {step} returned; there is {_shape(result)}.")
    return AGGREGATES[table.aggregate](values)


def _numbers(value: Any, path: list[str]) -> Iterator[float]:
    """What stands at the path; of a list, what stands there in each item. Nothing where a value is missing."""
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item, path)
    elif path and isinstance(value, dict):
        yield from _numbers(value.get(path[0]), path[1:])
    elif not path and isinstance(value, int | float):
        yield float(value)


def _shape(value: Any) -> str:
    """The fields of a result, in words."""
    while isinstance(value, list) and value:
        value = value[0]
    return ", ".join(value) if isinstance(value, dict) else f"nothing but {value!r}"


def columns(recipe: Recipe) -> list[str]:
    """The heads of the table."""
    measured = ["error", "accumulated_error"] if recipe.table.error else []
    return [*recipe.settings[0], "time_s", *measured, "state"]


def cells(row: Row, recipe: Recipe) -> list[str]:
    """The words of a row, under these heads; a number that is not there is empty."""
    numbers = [row.seconds, *([row.error, row.accumulated] if recipe.table.error else [])]
    told = ["" if value is None else f"{value:.4g}" for value in numbers]
    return [*map(in_word, row.setting.values()), *told, f"failed: {row.failed}" if row.failed else "done"]


def as_text(found: list[Row], recipe: Recipe) -> str:
    """The table in Markdown, aligned, so that it reads as well on a terminal; why settings failed stands below it."""
    table = [columns(recipe), *(cells(row, recipe) for row in found)]
    table = [[*(word.replace("|", "/") for word in words), state.partition(":")[0]] for *words, state in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *body = ["| " + " | ".join(word.ljust(n) for word, n in zip(line, widths, strict=True)) + " |" for line in table]
    settings = ((", ".join(f"{name}={in_word(value)}" for name, value in row.setting.items()), row.failed) for row in found)
    failed = [f"\n{setting} failed: {why}" for setting, why in settings if why]
    return "\n".join([head, "|" + "|".join("-" * (n + 2) for n in widths) + "|", *body, *failed])


def write_table(found: list[Row], recipe: Recipe, folder: Path) -> None:
    """table.md, table.csv and plot.svg; the folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(as_text(found, recipe) + "\n")
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerows([columns(recipe), *(cells(row, recipe) for row in found)])
    (folder / "table.csv").write_text(text.getvalue())
    (folder / "plot.svg").write_text(draw(panels(found, recipe)))


def panels(found: list[Row], recipe: Recipe) -> list[Panel]:
    """Time and error over the swept parameter that counts, a line for each setting of the others; then the accumulated error."""
    names = list(recipe.settings[0])
    across = next((name for name in names if len({in_word(row.setting[name]) for row in found}) > 1), names[0])
    words = list(dict.fromkeys(in_word(row.setting[across]) for row in found))
    numeric = all(isinstance(row.setting[across], int | float) and not isinstance(row.setting[across], bool) for row in found)

    def lines(of: Callable[[Row], float | None]) -> list[Line]:
        by_name: dict[str, list[tuple[float, float]]] = {}
        for row in found:
            others = ", ".join(f"{name} = {in_word(row.setting[name])}" for name in names if name != across)
            x = float(row.setting[across]) if numeric else float(words.index(in_word(row.setting[across])))
            if (y := of(row)) is not None:
                by_name.setdefault(others, []).append((x, y))
        return [Line(name, sorted(points)) for name, points in by_name.items()]

    marks = () if numeric else tuple(words)
    drawn = [Panel("Run time", across, "time (s)", lines(lambda row: row.seconds), marks)]
    if recipe.table.error:
        label = f"{recipe.table.aggregate} of {recipe.table.error}"
        summed = [(float(number), row.accumulated) for number, row in enumerate(found, 1) if row.accumulated is not None]
        drawn.append(Panel("Error", across, label, lines(lambda row: row.error), marks))
        drawn.append(Panel("Accumulated error", "row of the table", f"running sum of {recipe.table.error}", [Line("", summed)]))
    return drawn
