"""The command for scans on disk: list and search them, edit notes, count several, measure a series, delete raw frames."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emkit.catalogue import Catalogue, Entry

STYLES = {"done": "green", "incomplete": "red", "counting": "cyan", "streaming": "cyan"}
NOTES_LETTERS = 40


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    one = commands.add_parser(
        "scans", help="List the scans and volumes of a folder.",
        description="List the scans and volumes below a folder, the newest first; piped, a plain line for each. "
        "NAME is what stands in the list.",
    )  # fmt: skip
    one.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="of the data (default: $EMKIT_SCANS, else the current one)"
    )
    one.add_argument(
        "--search", default="", metavar="WORDS", help="only what holds each of these words, in its name, notes or facts"
    )
    one.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    does = one.add_mutually_exclusive_group()
    does.add_argument("--note", nargs=2, metavar=("NAME", "TEXT"), help="write the notes of a scan")
    does.add_argument("--count", nargs="+", metavar="NAME", help="count these, one after the other, in a run left to itself")
    does.add_argument("--series", nargs="+", metavar="NAME", help="count these and measure dose and drift over time, likewise")
    does.add_argument("--delete-raw", metavar="NAME", help="delete the raw frames of a scan, after a question")
    one.add_argument("--out", default="series", metavar="NAME", help="with --series: the folder to make (default: series)")
    one.add_argument("--typed", default="", metavar="NAME", help="with --delete-raw: the answer, instead of the question")
    one.set_defaults(run=scans)


def scans(given: argparse.Namespace) -> int:
    """`emkit scans [FOLDER]`"""
    from emkit.catalogue import Catalogue

    catalogue = Catalogue(given.folder)
    if given.note:
        catalogue.note(*given.note)
    elif given.count or given.series:
        from emkit.cli.recipes import left_alone

        print(left_alone(catalogue.begin(given.count or given.series, series=given.out if given.series else "")))
    elif given.delete_raw:
        return _delete(catalogue, given.delete_raw, given.typed)
    else:
        _list(catalogue, given.search, as_json=given.json)
    return 0


def _delete(catalogue: "Catalogue", name: str, typed: str) -> int:
    if not typed:
        removal = catalogue.removal(name)
        print(removal.question)
        if not sys.stdin.isatty():
            print(f"Nothing was deleted. To delete without being asked: --typed {name}")
            return 3
        typed = input("Type the name to delete: ").strip()
        if typed != name:
            print("Nothing was deleted.")
            return 130
    if typed != name:
        from emkit.errors import ParameterError

        raise ParameterError(f"--typed: found {typed!r}, needed {name!r}; nothing was deleted.")
    gone = catalogue.delete_raw(name, typed)
    print(f"Deleted: {len(gone.files)} files of {gone.folder}")
    return 0


def _list(catalogue: "Catalogue", search: str, *, as_json: bool) -> None:
    entries = catalogue.entries(search)
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
    elif sys.stdout.isatty():
        _show(entries, str(catalogue.root))
    else:
        for entry in entries:
            print(entry.name, *_words(entry), entry.notes.partition("\n")[0], sep="\t")


def _words(entry: "Entry") -> list[str]:
    """State, time, shape, sizes: as in every list."""
    from emkit.catalogue import size_in_words

    when = datetime.fromtimestamp(entry.at).strftime("%Y-%m-%d %H:%M")
    before, after = (size_in_words(size) if size is not None else "-" for size in (entry.raw_bytes, entry.counted_bytes))
    return [entry.state.value, when, "x".join(map(str, entry.shape or ())) or "-", f"{before} -> {after}"]


def _show(entries: "list[Entry]", folder: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not entries:
        console.print(f"No scans in {folder}. Raw folders, counted scans and streams are found by themselves.")
        return
    table = Table("name", "state", "time", "shape", "raw → counted", "notes", box=None, pad_edge=False)
    for entry in entries:
        state, *others = _words(entry)
        table.add_row(entry.name, f"[{STYLES.get(state, '')}]{state}[/]" if state in STYLES else state, *others, _brief(entry))
    console.print(table)


def _brief(entry: "Entry") -> str:
    """What is missing, else the beginning of the notes."""
    from rich.markup import escape

    first = (entry.told or entry.notes).partition("\n")[0]
    return escape(first if len(first) <= NOTES_LETTERS else f"{first[: NOTES_LETTERS - 1]}…")
