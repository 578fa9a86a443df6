"""Commands that run calls: a step from the command line, and a recipe."""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emkit.errors import ResourceError
from emkit.params import Call

if TYPE_CHECKING:
    from emkit.recipe import Recipe
    from emkit.run.folder import RunFolder


PLACES = "local, local:N, serial, slurm:PROFILE, slurm:PROFILE:N, dask:tcp://HOST:PORT"


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    one = commands.add_parser(
        "run", help="Run a recipe: its steps, for each setting of its sweep.",
        description="Run a recipe (TOML). What stands there already, made by the same call from the same inputs, is kept.",
    )  # fmt: skip
    one.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    one.add_argument("--plan", action="store_true", help="say what each part would need, and all; write nothing")
    one.add_argument("--overwrite", action="store_true", help="replace outputs that another call made")
    one.add_argument("--detach", action="store_true", help="begin the run and leave it to itself; see: emkit watch --help")
    one.add_argument(
        "--table", type=Path, metavar="FOLDER", help="write the table of the sweep there: table.csv, table.md, plot.svg"
    )
    add_place(one, "on")
    one.set_defaults(run=run)


def add_place(parser: argparse.ArgumentParser, name: str) -> None:
    """The option that says where tasks are done."""
    parser.add_argument("--on", dest=name, metavar="PLACE", help=f"where it runs: {PLACES} (default: local)")


def run(given: argparse.Namespace) -> int:
    from emkit.errors import ParameterError
    from emkit.recipe import read

    recipe = read(given.recipe)
    if recipe.follow:
        raise ParameterError(f"{given.recipe} follows a folder: emkit follow {given.recipe} --folder FOLDER")
    if given.table and len(recipe.settings) == 1:
        raise ParameterError(f"--table: {given.recipe} sweeps nothing; needed: a list of values in [sweep].")
    if given.plan:
        return _print_plan(recipe, overwrite=given.overwrite, on=given.on)
    if len(recipe.parts) > 1:
        return _run_workflow(given, recipe)
    from emkit.runs.standing import is_current, obstacle

    (call,) = (part.call for part in recipe.parts)
    if is_current(call):
        print(f"There already, made by this call from these inputs: {call.out}")
        return 0
    overwrite = given.overwrite or not obstacle(call)
    return run_call(call, plan=False, overwrite=overwrite, as_json=False, detached=given.detach, on=given.on)


def _print_plan(recipe: "Recipe", *, overwrite: bool, on: str | None) -> int:
    from emkit.run.place import Place
    from emkit.runs.workflows import plan, summed

    planned = plan(recipe, overwrite=overwrite, on=Place.parse(on or "local"))
    for one in planned:
        print(one if len(planned) > 1 else one.plan or one)
    if len(planned) > 1:
        unknown = sum(1 for one in planned if not (one.kept or one.plan))
        print(f"All: {summed(planned)}" + (f", and what {unknown} more will need" if unknown else ""))
    return 0


def _run_workflow(given: argparse.Namespace, recipe: "Recipe") -> int:
    from emkit.run.place import Place
    from emkit.runs.workflows import begin_workflow, detach_whole, drive_workflow

    on = Place.parse(given.on or "local")
    folder = begin_workflow(given.recipe, recipe, overwrite=given.overwrite, table=given.table, on=on)
    if given.detach:
        detach_whole(folder)
        print(left_alone(folder))
        return 0
    try:
        with heard():
            drive_workflow(folder)
    finally:
        tell_workflow(folder)
    return 0


def tell_workflow(folder: "RunFolder") -> None:
    """What came of each part, as far as it ended, and the table of a sweep."""
    for name in ("told.txt", "table.md"):
        if (file := folder.path / name).is_file():
            print(file.read_text(), end="")


def left_alone(folder: "RunFolder") -> str:
    """What is said of a run that was just begun and left to itself."""
    job = folder.facts().get("job")
    named = f", as job {job['id']}" if job else ""
    return f"{folder.id} runs on by itself{named}. Watch it: emkit watch {folder.id}"


def run_call(call: Call, *, plan: bool, overwrite: bool, as_json: bool, detached: bool = False, on: str | None = None) -> int:
    """Plan, begin or run one call, with a bar on a terminal; print what it returned."""
    from emkit.run.drive import begin, execute, result_json
    from emkit.run.place import Place
    from emkit.run.room import default_place
    from emkit.run.step import plan_of

    place = Place.parse(on) if on is not None else default_place(detached=detached)
    if plan:
        planned = plan_of(call, overwrite=overwrite, on=place)
        print(planned, planned.where, sep="\n")
        if planned.lacking:
            raise ResourceError(planned.lacking)
        return 0
    if detached:
        from emkit.run.detached import detach

        detach(folder := begin(call, overwrite=overwrite, on=place))
        print(left_alone(folder))
        return 0
    with heard():
        result = execute(call, overwrite=overwrite, on=place)
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
