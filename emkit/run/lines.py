"""The lines of a journal: a finished task each, as JSON, whose result stays text until somebody asks for it."""

import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

RESULT, END = ', "result": ', "}\n"  # no name can hold the first, its quotes would be escaped


class Line(NamedTuple):
    """A task that is done; `result` is JSON."""

    stage: str
    task: str
    result: str


def line_of(stage: str, task: str, result: str) -> str:
    return f'{{"stage": {json.dumps(stage)}, "task": {json.dumps(task)}{RESULT}{result}{END}'


def read_line(line: str) -> Line | None:
    """What a line tells; None if it is not whole."""
    if not (line.isascii() and line.endswith(END)):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return Line(told["stage"], told["task"], line.partition(RESULT)[2][: -len(END)])


def read_results(journal: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """The first line of a journal, and by stage and task the results in it."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    with journal.open(errors="replace") as file:
        identity = file.readline().rstrip("\n")
        for line in file:
            if (told := read_line(line)) is None:
                break
            found[told.stage][told.task] = told.result
    return identity, found
