"""Two runs beside each other: inputs, parameters, versions, machines, results."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emkit.errors import PathError
from emkit.params import Reads, Writes
from emkit.recipe import load
from emkit.records import digests_of, read_record
from emkit.run.folder import RunFolder
from emkit.runs.finding import find_run
from emkit.runs.repairing import REPAIR

SHOWN = 12  # characters of a digest
SHOWN_LINES = 20  # of a kind
UNKNOWN = "not recorded"
MACHINE = ("cpu", "place", "workers", "threads")


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs, a line each; `numbers` tell by how much the values of their results differ at most."""

    first: str
    second: str
    inputs: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    result: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return not self.told()

    def told(self) -> dict[str, tuple[str, ...]]:
        """What differs, by kind."""
        kinds = (field.name for field in fields(self) if field.name not in ("first", "second"))
        return {kind: lines for kind in kinds if (lines := getattr(self, kind))}

    def __str__(self) -> str:
        if self.same:
            return f"{self.second}: the same bytes, from the same inputs, by the same versions."
        head = f"differs from that of {self.first}" if self.result else f"is that of {self.first}, but not all that made it"
        told = [f"{self.second}: the result {head}."]
        for kind, lines in self.told().items():
            told += [f"  {kind}: {line}" for line in lines[:SHOWN_LINES]]
            told += [f"  {kind}: and {len(lines) - SHOWN_LINES} more"] if lines[SHOWN_LINES:] else []
        return "\n".join(told)


@dataclass(frozen=True)
class Side:
    """A run, as far as anybody has recorded it: by its output, or by its folder where there is no output of it."""

    name: str
    parameters: Mapping[str, Any]  # the step among them
    inputs: Mapping[str, str]  # parameter: digest
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    results: Mapping[str, str]  # file: digest; none where the output is gone
    out: Path | None


def diff(first: str | Path, second: str | Path) -> Comparison:
    """What differs between two runs: each an id, the beginning of one, `last`, or the path of an output.

    Raises `PathError` where there is no such run and no such output, `DamagedError` where a record cannot be read.
    """
    return compared(side(str(first)), side(str(second)))


def side(name: str) -> Side:
    """The run of this name: by the record of its output if that is there, else by its folder."""
    path = Path(name)
    try:
        return of_record(name, path)
    except PathError:  # no output with a record
        run = find_run(name)
    return of_run(run)


def of_record(name: str, out: Path) -> Side:
    """By the record of an output. PathError where there is none."""
    record = read_record(out)
    inputs = {parameter: digest for parameter, (_, digest) in record.inputs.items()}
    given = {"step": record.step, **record.parameters}
    return Side(name, given, inputs, record.versions, record.machine, digests_of(out), out)


def of_run(run: RunFolder) -> Side:
    """By the output if the run has left it as it is, else by the folder, which tells no digests."""
    facts = run.facts()
    if facts.get("kind") not in (None, REPAIR):
        raise PathError(f"RUN: found {run.id}, a {facts['kind']} of several runs; needed: one run. Name the outputs to compare.")
    for place in filter(None, (facts["out"], run.path)):
        try:
            if read_record(Path(place)).run == run.id or facts.get("kind") == REPAIR:
                return of_record(run.id, Path(place))
        except PathError:
            continue
    (call,) = load(run.recipe)
    paths = {p.name for role in (Reads, Writes) for p, _ in call.paths(role)}
    given = {"step": facts["step"], **{name: value for name, value in call.as_json().items() if name not in paths}}
    machine = {**dict.fromkeys(MACHINE, UNKNOWN), "host": facts["host"], **facts.get("machine", {})}
    return Side(run.id, given, {p.name: UNKNOWN for p, _ in call.paths(Reads)}, facts["versions"], machine, {}, None)


def compared(one: Side, other: Side) -> Comparison:
    """The two, kind by kind; values only where both outputs are there and differ."""
    from emkit.runs.numbers import largest_differences  # numpy, which whoever lists runs can do without

    if one.out and other.out:
        result = _lines(one.results, other.results)
        numbers = largest_differences(one.out, other.out, _differing(one.results, other.results)) if result else ()
    else:
        gone = [side.name for side in (one, other) if not side.out]
        result, numbers = tuple(f"{name} has no output of its own any more, or none yet" for name in gone), ()
    return Comparison(
        one.name,
        other.name,
        _lines(one.inputs, other.inputs),
        _lines(one.parameters, other.parameters),
        _lines(one.versions, other.versions),
        _lines(one.machine, other.machine),
        result,
        numbers,
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]


def _lines(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{k}: {_brief(one.get(k))} → {_brief(other.get(k))}" for k in _differing(one, other))


def _brief(value: Any) -> str:
    """Digests are cut; what is not there is none."""
    if value in (None, []):
        return "none"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:SHOWN] if len(text) == 64 else text
