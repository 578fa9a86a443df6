"""`emkit edit-segments`: merge and split cells of a segmentation, from a plain terminal."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]

POINTS = ("Z", "Y", "X", "Z", "Y", "X")


def add(commands: "Subcommands") -> None:
    parser = commands.add_parser(
        "edit-segments",
        help="Merge or split cells of a segmentation, or undo that.",
        description="Merge or split cells of a segmentation, each by two voxels, or undo that; without an option, list its edits. "
        "An edit is a line of a file beside the segmentation, which itself is never written: see emkit apply-edits, and "
        "emkit view --correct for edits by click.",
    )
    parser.add_argument("segmentation", type=Path, metavar="SEG.ome.zarr", help="labels that emkit segment made")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--merge", type=int, nargs=6, metavar=POINTS, help="two voxels whose cells are one")
    one.add_argument("--split", type=int, nargs=6, metavar=POINTS, help="two voxels of one cell that are to lie in two")
    one.add_argument("--undo", type=int, nargs="?", const=0, metavar="N", help="as if edit N had never been (default: your last)")
    parser.add_argument("--json", action="store_true", help="print edits as JSON")
    parser.set_defaults(run=edit)


def edit(given: argparse.Namespace) -> int:
    from emkit.io.edits import edits_of, read_edits, undone
    from emkit.steps.correcting import Correctable

    opened = Correctable.open(given.segmentation)
    if given.undo is not None:
        made = opened.undo(given.undo or None)
    elif found := given.merge or given.split:
        made = opened.edit("merge" if given.merge else "split", tuple(found[:3]), tuple(found[3:]))
    else:
        edits = read_edits(edits_of(given.segmentation))
        gone = undone(edits)
        if given.json:
            print(json.dumps([{"number": n, "holds": n not in gone, **asdict(edit)} for n, edit in enumerate(edits, 1)]))
        else:
            print("\n".join(f"{n}  {edit}{', undone' * (n in gone)}" for n, edit in enumerate(edits, 1)) or "No edits.")
        return 0
    number, done = made
    print(json.dumps({"number": number, **asdict(done)}) if given.json else f"{number}  {done}")
    return 0
