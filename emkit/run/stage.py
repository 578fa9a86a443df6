"""Stages of tasks: what a step asks for, done by as many threads as there are cores.

A task is a key and the arguments of a function that stands in a module. Its small result goes to the journal as JSON,
what is big it writes itself. What stands in the journal is not done again: that is resume, for pairs, fits and blocks
alike. A step cannot tell who does its tasks, in which order, or how many at once, and its result must not depend on it.
"""

import json
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar, get_type_hints

from emkit.progress import PERIOD_S, Cancelled, cancelled, track
from emkit.run.plan import workers

T = TypeVar("T")


@dataclass(frozen=True)
class Stage(Generic[T]):
    name: str
    work: Callable[..., T]
    tasks: Mapping[str, tuple[Any, ...]]
    unit: str


def stage(
    name: str, work: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], unit: str = "tasks"
) -> Generator[Stage[T], Any, dict[str, T]]:
    """In a step: `found = yield from stage("match", match_pair, {key: arguments}, "pairs")`. Key to result, in the order given."""
    done: dict[str, T] = yield Stage(name, work, tasks, unit)
    return done


class Journal:
    """Finished tasks, one JSON line each, after a first line that says whose they are. A last line cut by a kill is dropped."""

    def __init__(self, file: IO[str], identity: str) -> None:
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self.resumed = whole.startswith(identity + "\n")
        kept = whole if self.resumed else identity + "\n"
        if kept != text:
            file.seek(0)
            file.truncate()
            file.write(kept)
        file.flush()
        self.file = file
        self.found = {(name, key): result for name, key, result in map(json.loads, kept.splitlines()[1:])}

    def execute(self, asked: Stage[Any]) -> dict[str, Any]:
        """Do what is missing; the results of all tasks, in the order of the tasks."""
        from pydantic import TypeAdapter

        adapter: TypeAdapter[Any] = TypeAdapter(get_type_hints(asked.work, include_extras=True)["return"])
        missing = {key: arguments for key, arguments in asked.tasks.items() if (asked.name, key) not in self.found}

        def keep(key: str, result: Any) -> None:
            plain = self.found[asked.name, key] = adapter.dump_python(result, mode="json")
            self.file.write(json.dumps([asked.name, key, plain]) + "\n")
            self.file.flush()

        if missing:
            with closing(_completed(asked.work, missing, keep)) as completed:
                for _ in track(completed, asked.name, asked.unit, len(missing)):
                    pass
        return {key: adapter.validate_python(self.found[asked.name, key]) for key in asked.tasks}


def _completed(
    work: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], keep: Callable[[str, T], None]
) -> Generator[None, None, None]:
    """Yields as each task ends, its result kept. Ended early, it starts no other task, waits for those at work and keeps them."""
    pool = ThreadPoolExecutor(workers(), thread_name_prefix="emkit-task")
    running = {pool.submit(work, *arguments): key for key, arguments in tasks.items()}
    try:
        while running:
            done, _ = wait(running, timeout=PERIOD_S, return_when=FIRST_COMPLETED)
            if not done and cancelled():
                raise Cancelled(f"cancelled with {len(running)} tasks to do")
            for future in done:
                keep(running.pop(future), future.result())
                yield
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for future, key in running.items():
            if not future.cancelled() and future.exception() is None:
                keep(key, future.result())
