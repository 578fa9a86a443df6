"""The command that follows an acquisition."""

import argparse
from pathlib import Path
from typing import Any

from emkit.cli.recipes import add_place, heard, left_alone


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    one = commands.add_parser(
        "follow", help="Run a recipe for each section or scan as soon as it is there.",
        description="Run a recipe for each item of a folder, once it is complete. Started again it goes on where it was.",
    )  # fmt: skip
    one.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file with a table [follow]")
    one.add_argument("--folder", type=Path, required=True, metavar="IN", help="the folder that the microscope writes into")
    one.add_argument("--until", type=int, metavar="N", help="end once N items have ended, those of earlier starts included")
    one.add_argument("--idle", type=float, metavar="S", help="end once nothing has come for S seconds")
    one.add_argument(
        "--settle", type=float, metavar="S", default=0.5, help="how long an item is still before it is taken (default: 0.5)"
    )
    one.add_argument("--again", action="store_true", help="do again what was written anew after it was done")
    one.add_argument("--detach", action="store_true", help="begin and leave it to itself; see: emkit watch --help")
    add_place(one, "on")
    one.set_defaults(run=follow)


def follow(given: argparse.Namespace) -> int:
    from emkit.recipe import read
    from emkit.runs.following import Wishes, begin_follow, drive_follow
    from emkit.runs.workflows import detach_whole

    wishes = Wishes(given.until, given.idle, given.settle, given.again, given.on or "local")
    folder = begin_follow(given.recipe, read(given.recipe), given.folder, wishes)
    if given.detach:
        detach_whole(folder)
        print(left_alone(folder))
        return 0
    with heard():
        report = drive_follow(folder)
    print(f"{len(report['done'])} items done." + (f" Lag: {report['lag_p50_s']:.1f} s (median)." if report["done"] else ""))
    if incomplete := report["incomplete"]:
        print(f"Incomplete: {', '.join(incomplete)}.")
    if anew := report["rewritten"]:
        print(f"Written anew since they were done: {', '.join(anew)}. Do them again: --again")
    return 0
