"""A recipe for each item of a folder that somebody else fills, as soon as it is complete; as one run.

An item is complete when it has been still for a while and opens: the step's own look at the headers succeeds, and of an image
the pixels can be read. A folder also holds as many files as the recipe says: the tiles of a section. What does not open is tried
again until it does, or has been still for long. What is done is told by the outputs with their records, and for speed by
`items.jsonl` in the folder of the run, a line for each item that ended; so the follower may be killed at any moment, and the
same words start it where it was.
"""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, time
from typing import Any, Literal

from emkit.errors import EmkitError, ParameterError, PathError, TaskError
from emkit.io.sections import read_image
from emkit.params import FILES, Call, Reads, parameters
from emkit.progress import PERIOD_S, Cancelled, Tick, cancelled, heard_as, tell
from emkit.provenance import RESULT, crate_beside
from emkit.recipe import Follow, Recipe, parse
from emkit.run.drive import opened
from emkit.run.folder import RunFolder
from emkit.run.output import remove
from emkit.run.place import Place
from emkit.run.plan import Plan
from emkit.runs.arrivals import Arrival, Arrivals, is_item, look_of
from emkit.runs.finding import all_runs
from emkit.runs.gathering import Gathering
from emkit.runs.standing import is_current, obstacle
from emkit.runs.sweeping import Outcome
from emkit.runs.workflows import run_parts

FOLLOW = "follow"
GIVE_UP = 20  # times the settle time: a writer may pause; what does not open after that is broken until it changes
TRY_AGAIN_S = 1.0
NEWS_S = 10.0  # between two words about the same
State = Literal["done", "failed", "rewritten"]


@dataclass(frozen=True)
class Ended:
    """A line of items.jsonl: what became of an item as it looked then."""

    item: str
    seen: str
    state: State
    error: str = ""
    lag_s: float = 0.0  # from its last change, as we saw it, to its output
    at: float = 0.0


@dataclass(frozen=True)
class Wishes:
    """How to follow, and how long.

    `until`: end once so many items have ended; `idle_s`: once nothing has come for so long; `settle_s`: how long an item is
    still before it is taken; `again`: do again what was written anew; `on`: where the steps run.
    """

    until: int | None = None
    idle_s: float | None = None
    settle_s: float = 0.5
    again: bool = False
    on: str = "local"


def begin_follow(file: Path, recipe: Recipe, source: Path, wishes: Wishes) -> RunFolder:
    """The folder of the run that follows `source` by this recipe: the one that did before, or a new one.

    Raises what refuses the recipe, the folder or the place.
    """
    Place.parse(wishes.on)
    _check(file, recipe, source)
    text, base = file.read_text(), str(file.absolute().parent)
    same = {"kind": FOLLOW, "base": base, "source": str(source.absolute())}
    for run in reversed(all_runs()):
        if run.facts().items() >= same.items() and run.recipe.read_text() == text:
            os.close(run.lock())  # refused where somebody drives it
            run.note(**asdict(wishes))
            return run
    facts = {"step": file.stem, "out": None, "plan": asdict(Plan(0)), "overwrite": wishes.again}
    return RunFolder.new(text, {**facts, **same, **asdict(wishes)})


def drive_follow(folder: RunFolder, lock: int | None = None) -> dict[str, Any]:
    """Follow until the wish is fulfilled; the report. TaskError names the items that failed."""
    with folder.driven(lock):
        follower = Follower(folder)
        follower.follow()
        report = follower.report()
        (folder.path / RESULT).write_text(json.dumps(report, indent=1))
        if failed := [one for one in follower.ended.values() if one.state == "failed"]:
            told = "".join(f"\n  {one.item}: {one.error}" for one in failed)
            raise TaskError(f"{len(failed)} of {len(follower.ended)} items failed; each is tried again once it changes.{told}")
    return report


class Follower:
    """What came of each item so far, and the loop that waits for the next."""

    def __init__(self, folder: RunFolder) -> None:
        facts = folder.facts()
        self.folder, self.text, self.base = folder, folder.recipe.read_text(), Path(facts["base"])
        self.source = Path(facts["source"])
        self.wishes = Wishes(**{one.name: facts[one.name] for one in fields(Wishes)})
        self.where = f"{facts['step']}.toml"
        recipe = parse(self.text, self.base, self.where)
        self.items, self.folders = recipe.follow or Follow(argument=""), _takes_folders(recipe)
        self.journal = folder.path / "items.jsonl"
        self.ended = {one.item: one for one in _read(self.journal) if one.state != "failed"}  # these are tried again
        self.earlier = len(self._names("done"))
        self.tried: dict[str, tuple[str, float, str]] = {}  # what did not open: as it looked, when, why
        self.incomplete: list[Arrival] = []
        self.told: tuple[int, str, float] = (-1, "", 0.0)
        self.began_s, self.done, self.backlog, self.lag_s = monotonic(), 0, 0, 0.0

    def follow(self) -> None:
        """Item by item, as they become complete."""
        last_s = monotonic()
        gathering = _gathering(self.items, self.base, self.source)
        folder, items = gathering.into if gathering else self.source, self.items
        arriving = Arrivals(folder, items.pattern, self.folders, self.wishes.settle_s, items.files, items.of, gathering)
        with arriving as arrivals, self.journal.open("a") as journal:
            while True:
                todo = [arrival for arrival in arrivals.settled() if self._is_new(arrival)]
                self.backlog, self.incomplete = len(todo), arrivals.waiting()
                self._tell()
                ended = next(self._ends(todo), None)
                if ended:
                    self.ended[ended.item] = ended
                    self.tried.pop(ended.item, None)
                    journal.write(json.dumps(asdict(ended)) + "\n")
                    journal.flush()
                    last_s = monotonic()
                    continue
                if todo or arrivals.coming():
                    last_s = monotonic()
                elif self._is_enough(monotonic() - last_s):
                    return
                arrivals.wait(PERIOD_S)

    def _tell(self) -> None:
        """Where it stands, if that has changed: a night without sections is no news. Raises `Cancelled` if asked to end."""
        tick = self.tick()
        if (tick.done, tick.note) == self.told[:2] and tick.seconds - self.told[2] < NEWS_S:
            if cancelled():
                raise Cancelled(f"cancelled after {tick.done} items")
            return
        self.told = tick.done, tick.note, tick.seconds
        tell(tick)

    def tick(self) -> Tick:
        """How many were done; the backlog, and how far behind the last one was."""
        troubled = [f"{state} {', '.join(names[-3:])}" for state in ("failed", "rewritten") if (names := self._names(state))]
        lacking = [f"incomplete {', '.join(self._incomplete())}"] if self.incomplete else []
        note = ", ".join([f"backlog {self.backlog}", f"lag {self.lag_s:.1f} s", *lacking, *troubled])
        done, seconds = self.earlier + self.done, monotonic() - self.began_s
        return Tick("follow", done, self.wishes.until, "items", seconds, note, before=self.earlier)

    def report(self) -> dict[str, Any]:
        """What came of all items, as JSON: names, and the lag in seconds."""
        lags = [one.lag_s for one in self.ended.values() if one.state == "done"]
        p95 = quantiles(lags, n=20)[-1] if len(lags) > 1 else sum(lags)
        names = {state: self._names(state) for state in ("done", "failed", "rewritten")}
        return {
            **names,
            "incomplete": self._incomplete(),
            "lag_p50_s": median(lags) if lags else None,
            "lag_p95_s": p95 if lags else None,
        }

    def _incomplete(self) -> list[str]:
        """Folders that lack files, and how many."""
        return [f"{one.path.name} ({one.lacks} of {self.items.files} missing)" for one in self.incomplete]

    def _names(self, state: str) -> list[str]:
        return [one.item for one in self.ended.values() if one.state == state]

    def _is_new(self, arrival: Arrival) -> bool:
        before = self.ended.get(arrival.path.name)
        return before is None or before.seen != arrival.seen or (self.wishes.again and before.state == "rewritten")

    def _is_enough(self, still_s: float) -> bool:
        until, idle_s = self.wishes.until, self.wishes.idle_s
        return (until is not None and len(self.ended) >= until) or (idle_s is not None and still_s >= idle_s)

    def _ends(self, todo: list[Arrival]) -> Iterator[Ended]:
        """What comes of those that open, one by one."""
        for arrival in todo:
            seen, tried_s, why = self.tried.get(arrival.path.name, ("", 0.0, ""))
            if seen != arrival.seen or monotonic() - tried_s >= TRY_AGAIN_S:
                try:
                    recipe = parse(self.text, self.base, self.where, arrival.path)
                    _check_open(recipe)
                except EmkitError as shut:
                    self.tried[arrival.path.name] = arrival.seen, monotonic(), str(shut)
                else:
                    if ended := self._do(arrival, recipe):
                        yield ended
            elif monotonic() - arrival.since_s >= GIVE_UP * self.wishes.settle_s:
                yield Ended(arrival.path.name, arrival.seen, "failed", why, at=time())

    def _do(self, arrival: Arrival, recipe: Recipe) -> Ended | None:
        """The recipe for one item; what has been made from it before is kept, also where it was written anew since.

        None where the item changed meanwhile: its writer had only paused, and what was made of it is taken back.
        """
        name, first = arrival.path.name, recipe.parts[0].call
        if first.out and first.out.exists() and not obstacle(first) and not is_current(first) and not self.wishes.again:
            return Ended(name, arrival.seen, "rewritten", f"{first.out} was made from what it was before", at=time())
        home = self.folder.path / "items" / name
        with heard_as(lambda _: self.tick()):
            outcomes = list(run_parts(recipe.parts, home, overwrite=self.wishes.again, on=Place.parse(self.wishes.on)).values())
        if failed := next((one for one in outcomes if one.error), None):
            return Ended(name, arrival.seen, "failed", failed.error, at=time())
        if not arrival.path.exists() or look_of(arrival.path) != arrival.seen:
            _forget(outcomes)
            return None
        remove(home)  # the outputs tell all that stood there, and a day at the microscope has ten thousand items
        if not all(one.kept for one in outcomes):
            self.done += 1
            self.lag_s = monotonic() - arrival.since_s
        else:
            self.earlier += 1
        return Ended(name, arrival.seen, "done", lag_s=self.lag_s, at=time())


def _forget(outcomes: list[Outcome]) -> None:
    """Remove what was made now."""
    for one in outcomes:
        if not one.kept and (out := one.part.call.out):
            remove(crate_beside(out))
            remove(out)


def _check(file: Path, recipe: Recipe, source: Path) -> None:
    if recipe.follow is None:
        raise ParameterError(f'{file} does not say what to follow; needed: [follow] with argument = "PARAMETER".')
    if recipe.follow.files and not _takes_folders(recipe):
        raise ParameterError(f"{file}: follow.files: {recipe.follow.argument} takes files; needed: a parameter that takes folders.")
    if not source.is_dir():
        raise PathError(f"--folder: {source} is no folder; needed: the one that the microscope writes into.")
    if recipe.follow.sections and not recipe.follow.files:
        raise ParameterError(f"{file}: follow.sections: found no follow.files; needed: how many tiles make a section.")
    gathering = _gathering(recipe.follow, file.absolute().parent, source)
    followed = gathering.into if gathering else source
    for part in recipe.parts:
        if (out := part.call.out) is None:
            raise ParameterError(f"{file}: {part.name} writes nothing; give it an out that holds {{stem}}.")
        if not out.parent.is_dir():
            raise PathError(f"{file}: out: the folder {out.parent} does not exist; make it first.")
        if out.parent.resolve() == followed.resolve() and is_item(out.name, recipe.follow.pattern):
            raise PathError(
                f"{file}: out: {out.name} would be followed itself in {followed}; write elsewhere, or narrow the pattern."
            )


def _gathering(follow: Follow, base: Path, source: Path) -> Gathering | None:
    """Where the names tell the sections: what puts the tiles of each together."""
    if not follow.sections:
        return None
    if not follow.into:
        raise ParameterError(
            "follow.into is missing; needed with follow.sections: a folder for links to the tiles of each section."
        )
    return Gathering(source, follow.sections, base / follow.into)


def _takes_folders(recipe: Recipe) -> bool:
    """Whether the followed parameter takes folders."""
    step, _, argument = (recipe.follow.argument if recipe.follow else "").rpartition(".")
    call = next(part.call for part in recipe.parts if part.name == step or not step)
    return any(p.name == argument and isinstance(p.role, Reads) and p.role.kind not in FILES for p in parameters(call.function))


def _check_open(recipe: Recipe) -> None:
    """Raises EmkitError if what the first part reads cannot be opened."""
    call: Call = recipe.parts[0].call
    call.check(overwrite=True)
    body, _ = opened(call)
    with closing(body):
        for p, path in call.paths(Reads):
            if p.role and p.role.kind == "image":
                read_image(path)


def _read(journal: Path) -> list[Ended]:
    """The whole lines; a last one that a kill has cut is cut off."""
    if not journal.exists():
        return []
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with journal.open("r+b") as file:
            file.truncate(len(whole))
    return [Ended(**json.loads(line)) for line in whole.splitlines()]
