"""All parts of a recipe, one after the other, as one run that can be watched, ended and taken up again.

A part whose output stands there already, made by the same call from the same inputs, is kept. Each of the others is a run of
its own, in a folder within that of the whole. A part that fails takes along those that read from it; the rest goes on.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

from emkit.errors import EmkitError, PathError, TaskError
from emkit.params import Reads
from emkit.progress import Cancelled, Tick, cancelled, heard_as
from emkit.provenance import RESULT
from emkit.recipe import Part, Recipe, parse
from emkit.records import read_record, record_of
from emkit.run.detached import detach
from emkit.run.drive import execute, result_json
from emkit.run.folder import RunFolder
from emkit.run.place import LOCAL, Place
from emkit.run.plan import Plan
from emkit.run.room import default_place, offer_of
from emkit.run.step import plan_of
from emkit.runs.standing import is_current, obstacle
from emkit.runs.sweeping import Outcome, rows, write_table

WORKFLOW, TOLD = "workflow", "told.txt"


@dataclass(frozen=True)
class Planned:
    """What is to be done about a part: kept, planned, or not known before its inputs are there."""

    part: Part
    kept: bool
    plan: Plan | None

    def __str__(self) -> str:
        reads = self.part.reads
        waits = f"known once {' and '.join(reads)} {'is' if len(reads) == 1 else 'are'} there"
        return f"{self.part.label}: {'there already' if self.kept else self.plan or waits}"


def check(recipe: Recipe, *, overwrite: bool) -> None:
    """Refuse, before any part begins, what cannot work: an input that is missing, an output that another call made."""
    outs = {part.label: part.call.out for part in recipe.parts}
    for part in recipe.parts:
        coming = [out for label in part.reads if (out := outs[label])]
        with _labelled(part):
            part.call.check(overwrite=True, coming=coming)
        if not overwrite and (why := obstacle(part.call)):
            raise PathError(f"{part.label}: out: {why}. Choose another name, or pass --overwrite to replace it.")


@contextmanager
def _labelled(part: Part) -> Iterator[None]:
    """Within: what is refused says of which part."""
    try:
        yield
    except EmkitError as refused:
        raise type(refused)(f"{part.label}: {refused}") from None


def plan(recipe: Recipe, *, overwrite: bool, on: Place = LOCAL) -> list[Planned]:
    """What each part would need there; nothing is written."""
    check(recipe, overwrite=overwrite)
    planned: dict[str, Planned] = {}
    for part in recipe.parts:
        kept = all(planned[label].kept for label in part.reads) and is_current(part.call)
        there = all(planned[label].kept for label in part.reads) and all(path.exists() for _, path in part.call.paths(Reads))
        with _labelled(part):
            planned[part.label] = Planned(part, kept, None if kept or not there else plan_of(part.call, overwrite=True, on=on))
    return list(planned.values())


def summed(planned: list[Planned]) -> Plan:
    """One part after the other: the most memory, all of the disk, all of the time; of what is known."""
    known = [one.plan for one in planned if one.plan]
    most = max((one.memory_bytes for one in known), default=0)
    return Plan(most, sum(one.disk_bytes for one in known), sum(one.seconds for one in known))


def begin_workflow(file: Path, recipe: Recipe, *, overwrite: bool, table: Path | None, on: Place) -> RunFolder:
    """The folder of a run of this recipe, checked as a whole; `table`: a folder for that of its sweep; `on`: where parts run."""
    planned = summed(plan(recipe, overwrite=overwrite, on=on))
    out = recipe.parts[-1].call.out if len(recipe.settings) == 1 else None
    facts = {"step": file.stem, "kind": WORKFLOW, "out": out and str(out), "plan": asdict(planned), "overwrite": overwrite}
    places = {"base": str(file.absolute().parent), "table": table and str(table.absolute()), "on": str(on)}
    return RunFolder.new(file.read_text(), {**facts, **places})


def detach_whole(folder: RunFolder) -> None:
    """Leave a run of several parts to itself. A job cannot outlive its allocation: there the whole is a job of its own."""
    if (place := default_place(detached=True)).kind == "slurm":
        folder.note(place=str(place), offer=offer_of(place).facts())
    detach(folder)


def drive_workflow(folder: RunFolder, lock: int | None = None) -> list[Outcome]:
    """Do what is missing; what came of each part. TaskError names those that failed, once all others are done."""
    facts = folder.facts()
    recipe = parse(folder.recipe.read_text(), Path(facts["base"]), f"{facts['step']}.toml")
    with folder.driven(lock):
        check(recipe, overwrite=facts["overwrite"])
        on = Place.parse(facts["on"])
        outcomes = list(run_parts(recipe.parts, folder.path / "parts", overwrite=facts["overwrite"], on=on).values())
        folder.note(used=asdict(_used(folder.path / "parts")))
        (folder.path / RESULT).write_text(json.dumps([one.facts() for one in outcomes], indent=1))
        if len(recipe.settings) > 1:
            found = rows(recipe, {one.part.label: one for one in outcomes})
            for place in {folder.path, Path(facts["table"] or folder.path)}:
                write_table(found, recipe, place)
        else:
            (folder.path / TOLD).write_text("".join(f"{one}\n" for one in outcomes))
        if failed := [one for one in outcomes if one.error]:
            told = "".join(f"\n  {one.part.label}: {one.error}" for one in failed)
            raise TaskError(f"{len(failed)} of {len(outcomes)} parts failed; the others are done.{told}")
    return outcomes


def _used(home: Path) -> Plan:
    """What the parts used that were done by this run, one after the other."""
    told = [used for path in home.glob("*/run.json") if (used := json.loads(path.read_text()).get("used"))]
    most = max((one["memory_bytes"] for one in told), default=0)
    return Plan(most, sum(one["disk_bytes"] for one in told), sum(one["seconds"] for one in told))


def run_parts(parts: tuple[Part, ...], home: Path, *, overwrite: bool, on: Place) -> Mapping[str, Outcome]:
    """What came of each part, by its label, in their order. The folders of their runs are made in `home`."""
    outcomes: dict[str, Outcome] = {}
    for number, part in enumerate(parts, 1):
        if cancelled():
            raise Cancelled(f"cancelled before {part.label}")

        def named(tick: Tick, what: str = f"{number}/{len(parts)} {part.label}" if len(parts) > 1 else "") -> Tick:
            return replace(tick, what=f"{what}: {tick.what}") if what else tick

        if without := [label for label in part.reads if outcomes[label].error]:
            outcomes[part.label] = Outcome(part, error=f"not begun, since {without[0]} failed")
            continue
        try:
            with heard_as(named):
                outcomes[part.label] = run_part(part, home, overwrite=overwrite, on=on)
        except EmkitError as refused:
            outcomes[part.label] = Outcome(part, error=str(refused))
    return outcomes


def run_part(part: Part, home: Path, *, overwrite: bool, on: Place) -> Outcome:
    """Do one part, or keep what stands there."""
    if kept := is_current(part.call):
        result, began_s = None, 0.0
    else:
        began_s = monotonic()
        result = execute(part.call, overwrite=overwrite or not obstacle(part.call), on=on, home=home)
    if (out := part.call.out) is None:
        return Outcome(part, json.loads(result_json(part.call, result)), monotonic() - began_s)
    return Outcome(part, json.loads((record_of(out) / RESULT).read_text()), read_record(out).seconds, kept)
