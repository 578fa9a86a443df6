"""From the form of a recipe to its parts: a call for each step and setting, each after those that it reads."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from emkit.errors import EmkitError, ParameterError
from emkit.params import Call, Kind, Parameter, Reads, Writes, parameters
from emkit.recipe.form import Follow, One, Several, Step, Table
from emkit.steps import find

Setting = Mapping[str, Any]
STEM = "{stem}"
FOLDERS: tuple[Kind, ...] = ("folder", "image folder", "volume")


@dataclass(frozen=True)
class Part:
    """One call of a recipe: a step, at one setting of those swept values that it depends on."""

    name: str
    call: Call
    setting: Setting
    reads: tuple[str, ...]  # labels of the parts whose outputs it reads

    @property
    def label(self) -> str:
        """No other part of the recipe has it."""
        told = ", ".join(f"{name}={in_word(value)}" for name, value in self.setting.items())
        return f"{self.name} ({told})" if told else self.name


@dataclass(frozen=True)
class Recipe:
    """Its parts, each after those that it reads, and the settings of its sweep: a single empty one where nothing is swept."""

    parts: tuple[Part, ...]
    settings: tuple[Setting, ...]
    table: Table
    follow: Follow | None

    def at(self, setting: Setting) -> list[Part]:
        """The parts that this setting needs."""
        return [part for part in self.parts if part.setting.items() <= setting.items()]


class Reader:
    """From a file to its parts, step by step; what `[sweep]`, `[table]` and `[follow]` name is written STEP.NAME here."""

    def __init__(self, file: One | Several, base: Path, item: Path | None) -> None:
        self.file, self.base, self.item = file, base, item
        listed = [Step(step=file.step, arguments=file.arguments)] if isinstance(file, One) else file.step
        self.steps = {one.name or one.step: one for one in listed}
        if len(self.steps) < len(listed):
            raise ParameterError('two steps have the same name; give each one of its own: name = "…"')
        self.swept = dict(self._swept())
        words = [parameter for _, parameter in self.swept]
        self.words = {(step, name): name if words.count(name) == 1 else f"{step}.{name}" for step, name in self.swept}
        self.followed = self._split("follow.argument", file.follow.argument) if file.follow else None
        if self.followed and self.swept:
            raise ParameterError("sweep: what is followed has one setting; leave the sweep out, or follow with a recipe for each.")
        self.made: dict[str, list[Part]] = {}

    def recipe(self) -> Recipe:
        for name, one in self.steps.items():
            try:
                self.made[name] = list(self._parts(name, one))
            except EmkitError as refused:
                raise type(refused)(f"step {name!r}: {refused}" if isinstance(self.file, Several) else str(refused)) from None
        parts = tuple(part for parts in self.made.values() for part in parts)
        _check_apart(parts)
        table = self.file.table
        for step in table.time or []:
            self._check_step("table.time", step)
        if table.error:
            table = table.model_copy(update={"error": ".".join(self._split("table.error", table.error))})
        return Recipe(parts, tuple(self._settings(self.swept)), table, self.file.follow)

    def _split(self, where: str, text: str) -> tuple[str, str]:
        """STEP and NAME; where there is one step, NAME alone will do."""
        if isinstance(self.file, One):
            return self.file.step, text
        step, _, name = text.partition(".")
        self._check_step(where, step)
        return step, name

    def _check_step(self, where: str, step: str) -> None:
        if step not in self.steps:
            raise ParameterError(
                f"{where}: there is no step named {step!r}; there are {', '.join(self.steps)}.{_meant(step, self.steps)}"
            )

    def _swept(self) -> Iterator[tuple[tuple[str, str], list[Any]]]:
        """(step, parameter) and the values, of each list."""
        tables = {self.file.step: self.file.sweep} if isinstance(self.file, One) else self.file.sweep
        for step, lists in tables.items():
            self._check_step("sweep", step)
            if not isinstance(lists, dict):
                raise ParameterError(f"sweep.{step}: found {lists!r}; needed: {step}.PARAMETER = [values].")
            for name, values in lists.items():
                if not isinstance(values, list) or not values:
                    raise ParameterError(f"sweep.{name}: found {values!r}; needed: a list of values.")
                yield (step, name), values

    def _settings(self, keys: Iterable[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Every combination of the values of these."""
        keys = list(keys)
        for values in itertools.product(*(self.swept[key] for key in keys)):
            yield dict(zip((self.words[key] for key in keys), values, strict=True))

    def _parts(self, name: str, one: Step) -> Iterator[Part]:
        function = find(one.step)
        known = {p.name: p for p in parameters(function)}
        given = dict(one.arguments)
        if self.followed and self.followed[0] == name:
            if (p := known.get(self.followed[1])) and not _reads(p):
                raise ParameterError(f"follow.argument: {p.name} reads no file; needed: a parameter that names an input.")
            given[self.followed[1]] = str(self.item or STEM)
        words = (word for key, value in given.items() if _reads(known.get(key)) for word in _references(value))
        sources = list(dict.fromkeys(word[1:] for word in words))  # as they are written
        for key, value in given.items():
            if (p := known.get(key)) and _reads(p):
                self._check_references(p, value)
        depends = {word for source in sources for part in self.made[source] for word in part.setting}
        for setting in self._settings(key for key in self.swept if key[0] == name or self.words[key] in depends):
            read = {f"@{s}": next(p for p in self.made[s] if p.setting.items() <= setting.items()) for s in sources}
            outs = {word: str(part.call.out) for word, part in read.items()}
            own = {parameter: setting[word] for (step, parameter), word in self.words.items() if step == name}
            full = {key: _replaced(value, outs) if _reads(known.get(key)) else value for key, value in given.items()} | own
            call = self._placed(Call.of(function, full), setting)
            yield Part(name, call, setting, tuple(part.label for part in read.values()))

    def _check_references(self, p: Parameter, value: Any) -> None:
        """Each is to an earlier step, which writes what is read here."""
        for word in _references(value):
            if (made := self.made.get(word[1:])) is None:
                earlier = f"there are {', '.join(self.made)}" if self.made else "this is the first"
                raise ParameterError(f"{p.name}: {word} names no earlier step; {earlier}.{_meant(word[1:], self.made)}")
            kind, needed = next((q.role.kind for q, _ in made[0].call.paths(Writes) if q.role), None), p.role and p.role.kind
            if kind is None:
                raise ParameterError(f"{p.name}: {word} writes nothing; give that step an out.")
            if kind != needed and not ({kind, needed} <= set(FOLDERS) and "folder" in (kind, needed)):
                raise ParameterError(f"{p.name}: {word} is written as {kind}; needed: {needed}.")

    def _placed(self, call: Call, setting: Setting) -> Call:
        """Paths start at the base; what is written bears the setting in its name, or that of the item."""
        placed = call.placed(self.base)
        if (out := placed.out) is None:
            return placed
        if self.followed:
            if STEM not in out.name:
                raise ParameterError(f"out: {out.name} would be written for each item; needed: a name that holds {STEM}.")
            return placed.with_out(out.with_name(out.name.replace(STEM, self.item.stem if self.item else STEM)))
        stem, dot, ending = out.name.partition(".")
        bearing = "-".join([stem, *(f"{name}={in_word(value)}" for name, value in setting.items())])
        return placed.with_out(out.with_name(f"{bearing}{dot}{ending}"))


def _reads(p: Parameter | None) -> bool:
    return p is not None and isinstance(p.role, Reads)


def _references(value: Any) -> list[str]:
    words = value if isinstance(value, list) else [value]
    return [word for word in words if isinstance(word, str) and word.startswith("@")]


def _replaced(value: Any, outs: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(word, outs) for word in value]
    return outs.get(value, value) if isinstance(value, str) else value


def _check_apart(parts: Iterable[Part]) -> None:
    """No two write onto the same place, or into each other's."""
    before: dict[Path, Part] = {}
    for part in parts:
        if (out := part.call.out) is None:
            continue
        if (other := next((before[path] for path in (out, *out.parents) if path in before), None)) or (
            other := next((one for path, one in before.items() if path.is_relative_to(out)), None)
        ):
            raise ParameterError(f"out: {part.label} and {other.label} both write {out}; needed: a place for each.")
        before[out] = part


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""


def in_word(value: Any) -> str:
    """A swept value as it stands in names."""
    return ",".join(map(in_word, value)) if isinstance(value, list) else str(value).replace("/", "_")
