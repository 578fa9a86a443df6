"""Commands that prove: is an output whole, can it be made whole, made again, what differs, where does it come from."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emkit.cli.recipes import add_place

RUN = "an id, the beginning of one, last, or the path of an output"


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    _add(
        commands, verify, "Check every file of an output against its record.",
        "Every chunk, by its digest; several at once. Ends with 4 if a file is damaged, missing, or of another origin.",
    )  # fmt: skip
    _add(
        commands, repair, "Make an output whole again from its record.",
        "Computes anew what is damaged or missing, and nothing else; needs the output and the inputs that its record names. "
        "The output stays as it is until all is as its manifest says; if that cannot be reached, ends with 4.",
    )  # fmt: skip
    one = _add(
        commands, rerun, "Repeat a run from its record, and say whether the result is the same.",
        "Ends with 4 if an input, a version or the result differs, and tells by how much values differ at most.",
    )  # fmt: skip
    one.add_argument("-o", "--out", type=Path, required=True, metavar="NEW", help="where to write it anew")
    one.add_argument("--overwrite", action="store_true", help="replace NEW if it exists")
    add_place(one, "on")
    one = commands.add_parser(
        "diff", help="Say what differs between two runs.",
        description="Say what differs between two runs: inputs, parameters, versions, machines, results. Ends with 4 if any does.",
    )  # fmt: skip
    one.add_argument("first", metavar="RUN1", help=RUN)
    one.add_argument("second", metavar="RUN2", help=RUN)
    one.add_argument("--json", action="store_true", help="print it as JSON")
    one.set_defaults(run=diff)
    one = _add(
        commands, lineage, "Show what an output was made from, back to the raw files.",
        "Follows the records of inputs, as far as each is still what it was.",
    )  # fmt: skip
    one.add_argument("--svg", type=Path, metavar="FILE", help="draw it, too, as a picture")
    one.add_argument("--json", action="store_true", help="print it as JSON")


def _add(
    commands: "argparse._SubParsersAction[Any]", function: Callable[[argparse.Namespace], int], text: str, more: str
) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(function.__name__, help=text, description=f"{text} {more}")
    one.add_argument("made", type=Path, metavar="OUT", help="an output of emkit, with its record")
    one.set_defaults(run=function)
    return one


def verify(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.runs import verify

    with heard():
        found = verify(given.made)
    print(found)
    return 0 if found.whole else 4


def repair(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.runs import repair

    with heard():
        done = repair(given.made)
    print(done)
    return 0


def rerun(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.run.place import Place
    from emkit.runs import rerun

    with heard():
        found = rerun(given.made, out=given.out, overwrite=given.overwrite, on=Place.parse(given.on or "local"))
    print(found)
    return 0 if found.same else 4


def diff(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.runs import diff

    with heard():
        found = diff(given.first, given.second)
    print(json.dumps(asdict(found), indent=1) if given.json else found)
    return 0 if found.same else 4


def lineage(given: argparse.Namespace) -> int:
    from emkit.cli.recipes import heard
    from emkit.runs import drawn, lineage

    with heard():
        found = lineage(given.made)
    if given.svg:
        given.svg.write_text(drawn(found), encoding="utf-8")
    if given.json:
        print(json.dumps(asdict(found), indent=1, default=str))
    else:
        print(found.told(boxes=sys.stdout.isatty()))
    return 0
