"""Commands about runs: list them, watch one, end one, go on with one. RUN is an id, the beginning of one, last, or an output."""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from emkit.cli.recipes import add_place, left_alone, tell_workflow

if TYPE_CHECKING:
    from emkit.run.folder import RunFolder


NEWEST = 20


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    one = commands.add_parser(
        "runs", help="List my runs.", description="List my runs, the newest last; piped, a plain line for each."
    )
    one.add_argument("--all", action="store_true", help=f"on a terminal: not only the newest {NEWEST}")
    one.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    one.set_defaults(run=runs)
    _add(
        commands,
        watch,
        "Show how far a run is, until it ends.",
        "Ends with 130 if it was cancelled, with its own code if it failed.",
    )
    _add(commands, cancel, "End a run; it can be resumed.", "Ends with 0 once the wish is written down.")
    one = _add(commands, resume, "Go on with a run.", "What is done is not done again; of a run that is done it says so.")
    one.add_argument("--detach", action="store_true", help="leave it to itself")
    add_place(one, "on")


def _add(
    commands: "argparse._SubParsersAction[Any]", function: Callable[[argparse.Namespace], int], text: str, more: str
) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(function.__name__, help=text, description=f"{text} {more}")
    one.add_argument("name", metavar="RUN", help="an id, the beginning of one, last, or the path of the output")
    one.set_defaults(run=function)
    return one


def runs(given: argparse.Namespace) -> int:
    from emkit.runs import all_runs

    found = all_runs()
    if given.json:
        print(json.dumps([{"id": run.id, "folder": str(run.path), **run.facts(), **run.said()} for run in found], indent=1))
    elif sys.stdout.isatty():
        from rich.console import Console

        from emkit.cli.listing import show

        show(found, None if given.all else NEWEST, Console())
    else:
        for run in found:
            print(run.id, run.state, run.facts()["out"] or "-", sep="\t")
    return 0


def watch(given: argparse.Namespace) -> int:
    from emkit.cli.bar import bar, lines
    from emkit.run.detached import watch
    from emkit.run.plan import Plan
    from emkit.runs import find_run

    facts = (folder := find_run(given.name)).facts()
    headline = f"{facts['step']} → {facts['out'] or folder.path}\nplanned: {Plan(**facts['plan'])}"
    with ExitStack() as stack:
        listener = stack.enter_context(bar(headline)) if sys.stderr.isatty() else lines()
        for tick in watch(folder):
            listener(tick)
    return _told(folder)


def cancel(given: argparse.Namespace) -> int:
    from emkit.run.folder import ENDINGS, State
    from emkit.runs import find_run

    if (state := (folder := find_run(given.name)).state) in (*ENDINGS, State.INTERRUPTED):
        print(f"{folder.id} has ended already: {state}.")
        return 0
    folder.ask_to_cancel()
    print(f"{folder.id} will end within two seconds. Go on with it: emkit resume {folder.id}")
    return 0


def resume(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.run.detached import detach
    from emkit.run.folder import State
    from emkit.run.place import Place
    from emkit.runs import drive, find_run, place_anew

    if (folder := find_run(given.name)).state is State.DONE:
        print(f"{folder.id} is done: {folder.facts()['out'] or folder.path}")
        return 0
    if given.on is not None:
        place_anew(folder, Place.parse(given.on))
    if given.detach:
        detach(folder)
        print(left_alone(folder))
        return 0
    with heard():
        drive(folder)
    return _told(folder)


def _told(folder: "RunFolder") -> int:
    """Say how the run ended; the exit code that goes with it."""
    from emkit.run.folder import State

    said = folder.said()
    match said["state"]:
        case State.DONE:
            tell_workflow(folder)
            print(f"Written: {folder.facts()['out'] or folder.path}")
            return 0
        case State.CANCELLED:
            print(f"{folder.id} was cancelled. Go on with it: emkit resume {folder.id}", file=sys.stderr)
            return 130
        case State.FAILED:
            print(f"{folder.id} failed: {said['message']}", file=sys.stderr)
            return int(said["exit_code"])
        case _:
            print(f"{folder.id} was interrupted: nobody drives it. Go on with it: emkit resume {folder.id}", file=sys.stderr)
            return 3
