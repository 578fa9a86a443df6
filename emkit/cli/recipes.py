"""Commands that run calls: a step from the command line, a recipe, and a run again from its record."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from emkit.params import Call


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    one = commands.add_parser("run", help="Run a recipe, each cell of its sweep in turn.", description="Run a recipe (TOML).")
    one.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    one.add_argument("--plan", action="store_true", help="say what the run would need; write nothing")
    one.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    one.set_defaults(run=run)
    one = commands.add_parser(
        "rerun", help="Repeat a run from its record, and say whether the result is the same.",
        description="Repeat a run from the record of its output. Ends with 4 if an input, a version or the result differs.",
    )  # fmt: skip
    one.add_argument("made", type=Path, metavar="OUT", help="an output of emkit, with its record")
    one.add_argument("-o", "--out", type=Path, required=True, metavar="NEW", help="where to write it anew")
    one.add_argument("--overwrite", action="store_true", help="replace NEW if it exists")
    one.set_defaults(run=rerun)


def run(given: argparse.Namespace) -> int:
    from emkit.recipe import load

    for call in load(given.recipe):
        run_call(call, plan=given.plan, overwrite=given.overwrite, as_json=False)
    return 0


def rerun(given: argparse.Namespace) -> int:
    from emkit import runs

    with heard():
        found = runs.rerun(given.made, out=given.out, overwrite=given.overwrite)
    print(found)
    return 0 if found.same else 4


def run_call(call: Call, *, plan: bool, overwrite: bool, as_json: bool, detached: bool = False) -> int:
    """Plan, begin or run one call, with a bar on a terminal; print what it returned."""
    from emkit.run.drive import begin, execute, result_json
    from emkit.run.step import plan_of

    if plan:
        print(plan_of(call, overwrite=overwrite))
        return 0
    if detached:
        from emkit.run.detached import detach

        detach(folder := begin(call, overwrite=overwrite))
        print(f"{folder.id} runs on by itself. Watch it: emkit watch {folder.id}")
        return 0
    with heard():
        result = execute(call, overwrite=overwrite)
    print(result_json(call, result).decode() if as_json else _told(call, result))
    if call.out and not as_json:
        print(f"Written: {call.out}")
    return 0


def _told(call: Call, result: Any) -> str:
    """What tells itself in words, one line for each of several; else JSON."""
    from emkit.run.drive import result_json

    items = result if isinstance(result, list | tuple) else [result]
    if items and all("__str__" in vars(type(item)) for item in items):
        return "\n".join(map(str, items))
    return result_json(call, result).decode()


def heard() -> ExitStack:
    """Within: progress is shown on standard error, and Ctrl-C ends the work at its next tick."""
    from emkit.cli.bar import bar, lines
    from emkit.progress import listening
    from emkit.run.signals import ended_by_signals

    with ExitStack() as stack:
        asked = stack.enter_context(ended_by_signals())
        listener = stack.enter_context(bar()) if sys.stderr.isatty() else lines()
        stack.enter_context(listening(listener, stop=asked))
        return stack.pop_all()
