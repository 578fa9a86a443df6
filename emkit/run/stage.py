"""Stages of tasks: what a step asks for, done by as many workers as there are cores.

A task is a key and the arguments of a function that stands in a module. Its small result goes to the journal as JSON,
what is big it writes itself, and returns as `Written`: the files with their digests. What stands in the journal is not
done again: that is resume, for pairs, fits and blocks alike. A step cannot tell who does its tasks, in which order, or
how many at once, and its result must not depend on it.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from emkit.errors import EmkitError, TaskError
from emkit.progress import track
from emkit.provenance import Written, await_files
from emkit.run.disk import NO_SPACE
from emkit.run.earlier import NOTHING, Earlier
from emkit.run.executor import TRIES, Executor, outcomes
from emkit.run.lines import line_of, read_line
from emkit.run.together import outcomes_together
from emkit.run.worker import Done, Failed

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
SHOWN = 5
HOPELESS = 20  # failed tasks, before the rest is not even tried


@dataclass(frozen=True)
class Stage(Generic[T]):
    name: str
    work: Callable[..., T]
    tasks: Mapping[str, tuple[Any, ...]]
    unit: str
    unaffected_by: tuple[str, ...] = ()
    together: bool = False


def stage(
    name: str,
    work: Callable[..., T],
    tasks: Mapping[str, tuple[Any, ...]],
    unit: str = "tasks",
    unaffected_by: tuple[str, ...] = (),
    together: bool = False,
) -> Generator[Stage[T], Any, Mapping[str, T]]:
    """In a step: `found = yield from stage("match", match_pair, {key: arguments}, "pairs")`. Key to result, in the order given.

    ``unaffected_by`` names parameters that change nothing about a task of the same key: what a run that differed in these alone
    has found is taken from it (`emkit.run.earlier`). Not for tasks that write.

    ``together``: these tasks wait for each other, and each takes one argument more (`emkit.run.together`).
    """
    done: Mapping[str, T] = yield Stage(name, work, tasks, unit, unaffected_by, together)
    return done


class Results(Mapping[str, T]):
    """What the tasks of a stage returned, in their order; each is made of its text when it is asked for: most never are."""

    def __init__(self, tasks: Collection[str], texts: Mapping[str, str], adapter: "TypeAdapter[T]") -> None:
        self.tasks, self.texts, self.adapter = tasks, texts, adapter

    def __getitem__(self, key: str) -> T:
        if key not in self.tasks:
            raise KeyError(key)
        return self.adapter.validate_python(json.loads(self.texts[key]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)


class Journal:
    """Finished tasks, a JSON line each, after a first line that says whose they are.

    What follows the last whole line is dropped: a kill or a full disk cuts a line, a fall of the machine leaves zeros.

    A task that writes is finished when its files are on the disk under their final names; its line, with their digests,
    comes after that, so that a line may be lost by a fall of the machine but never tells of what is not there.
    """

    def __init__(self, file: IO[str], identity: str, built: Path | None = None, earlier: Earlier = NOTHING) -> None:
        file.seek(0)
        self.file, self.built, self.earlier = file, built, earlier
        # by stage and task the result as it stands in the file: as text it takes a third of the memory
        self.found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.asked: list[Stage[Any]] = []
        self.resumed = file.readline() == identity + "\n"
        if not self.resumed:
            file.truncate(0)
            file.write(identity + "\n")
            file.flush()
            return
        whole = len(identity) + 1  # lines are ASCII: a letter is a byte
        for line in file:
            if (told := read_line(line)) is None:
                break
            self.found[told.stage][told.task] = told.result
            whole += len(line)
        file.truncate(whole)
        file.seek(0, os.SEEK_END)

    def execute(self, asked: Stage[T], hands: Executor) -> Mapping[str, T]:
        """Do what is missing; the results of all tasks, in their order. If one fails, the others are done before it raises."""
        from pydantic import TypeAdapter

        adapter: TypeAdapter[T] = TypeAdapter(get_type_hints(asked.work, include_extras=True)["return"])
        self.asked.append(asked)
        built = self.built if writes(asked) else None
        mine = self.found[asked.name]
        for key, text in self.earlier.of(asked.name, asked.unaffected_by).items():
            if key in asked.tasks and key not in mine:
                mine[key] = text
                self.file.write(line_of(asked.name, key, text))
        missing = {key: arguments for key, arguments in asked.tasks.items() if not _is_done(mine.get(key), built)}
        if asked.together and missing:  # one alone would wait for the others
            missing = dict(asked.tasks)
        failed: list[Failed] = []

        def kept(found: Generator[Done | Failed, None, None]) -> Generator[None, None, None]:
            """What is done is in the journal before anybody can stop here."""
            for outcome in found:
                if isinstance(outcome, Failed):
                    failed.append(outcome)
                    if len(failed) == HOPELESS or _is_full(outcome):
                        return
                else:
                    text = mine[outcome.key] = json.dumps(adapter.dump_python(outcome.result, mode="json"))
                    self.file.write(line_of(asked.name, outcome.key, text))
                    self.file.flush()
                yield

        if missing:
            deal = outcomes_together if asked.together else outcomes
            with closing(deal(hands, asked.work, missing)) as found:
                for _ in track(kept(found), asked.name, asked.unit, len(asked.tasks), before=len(asked.tasks) - len(missing)):
                    pass
        if failed:
            raise _refusal(asked, failed)
        if self.built and writes(asked):  # what a worker elsewhere has just written may show late
            await_files(*(self.built / name for key in missing for name in json.loads(mine[key])["files"]))
        return Results(asked.tasks, mine, adapter)

    def lines(self) -> str:
        """What every task that was asked for returned: the same text whoever did them, and in which order."""
        tasks = ((asked.name, key) for asked in self.asked for key in asked.tasks)
        return "".join(line_of(name, key, self.found[name][key]) for name, key in tasks)

    def digests(self) -> dict[str, str]:
        """The files that tasks have finished, by their names in the output."""
        results = (json.loads(self.found[asked.name][key]) for asked in self.asked if writes(asked) for key in asked.tasks)
        return {name: value for result in results for name, value in result["files"].items() if value}


def _is_done(result: str | None, built: Path | None) -> bool:
    """A line is not enough where a file that it tells of is gone."""
    return result is not None and (not built or all(os.path.exists(f"{built}/{name}") for name in json.loads(result)["files"]))


def writes(asked: Stage[Any]) -> bool:
    """Whether the tasks of this stage write files of the output."""
    return get_type_hints(asked.work)["return"] is Written


def _is_full(failed: Failed) -> bool:
    """Whether the disk was: then the others would fail like it."""
    return getattr(failed.error, "errno", None) in NO_SPACE


def _refusal(asked: Stage[Any], failed: list[Failed]) -> Exception:
    """One error for all: each task by its name, which for a block is where it lies, and the lines that led to the first."""
    if full := [one.error for one in failed if _is_full(one)]:
        return full[0]  # the driver knows what is needed, and where
    first, others = failed[0], len(asked.tasks) - len(failed)
    count = f"{asked.name}: {len(failed)} of {len(asked.tasks)} {asked.unit} failed"
    if len(failed) >= HOPELESS:
        count += "; the rest was not tried"
    elif others and not asked.together:
        count += f"; the other {others} are done, and kept"
    told = f"{count}. Mend the cause; emkit resume, or the same call, then does what is missing"
    if isinstance(first.error, EmkitError):
        lines = [f"{asked.name} {first.key}: {first.error}", f"{told}.", *_names(failed[1:])]
        return type(first.error)("\n".join(lines))
    return TaskError("\n".join([f"{told}:", *_names(failed), f"The first, tried {TRIES} times:", first.trace]).rstrip())


def _names(failed: list[Failed]) -> list[str]:
    more = [f"  and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
    return [f"  {one.key}: {_words(one.error)}" for one in failed[:SHOWN]] + more


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, EmkitError) else f"{type(error).__name__}: {error}"
