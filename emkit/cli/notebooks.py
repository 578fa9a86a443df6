"""The commands for curated notebooks: run one without a person, check one, bring them into a user's home."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register the commands; what they need is imported when one of them is called."""
    run = commands.add_parser("run-notebook", help="Run a notebook without a person, and keep it with its outputs.")
    run.add_argument("notebook", type=Path, metavar="FILE", help="the notebook")
    run.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="where it is kept with its outputs")
    run.add_argument(
        "-p", "--parameter", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="a value for a name of the cell tagged 'parameters'; may be given several times",
    )  # fmt: skip
    run.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    run.set_defaults(run=run_notebook)

    check = commands.add_parser("check-notebook", help="Say what a notebook lacks to be a curated one.")
    check.add_argument("notebooks", type=Path, nargs="+", metavar="FILE", help="the notebook")
    check.set_defaults(run=check_notebook)

    install = commands.add_parser("install-notebooks", help="Copy curated notebooks into a home; edited ones are kept.")
    install.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a folder of curated notebooks")
    install.add_argument("--into", type=Path, default=Path("~/notebooks"), metavar="HOME", help="default: ~/notebooks")
    install.set_defaults(run=install_notebooks)


def run_notebook(given: argparse.Namespace) -> int:
    """`emkit run-notebook FILE -o OUT -p NAME VALUE …`"""
    from emkit.cli.bar import bar, lines
    from emkit.notebooks import run
    from emkit.progress import listening

    with bar() if sys.stderr.isatty() else nullcontext(lines()) as listener, listening(listener):
        run(given.notebook, given.out, dict(given.parameters), overwrite=given.overwrite)
    return 0


def check_notebook(given: argparse.Namespace) -> int:
    """`emkit check-notebook FILE …`: 0 if nothing is missing, 3 else."""
    from emkit.notebooks import check

    missing = 0
    for path in given.notebooks:
        findings = check(path)
        missing += len(findings)
        for finding in findings or ["is a curated notebook; nothing is missing."]:
            print(f"{path}: {finding}", file=sys.stderr if findings else sys.stdout)
    return 3 if missing else 0


def install_notebooks(given: argparse.Namespace) -> int:
    """`emkit install-notebooks FOLDER … --into HOME`"""
    from emkit.notebooks import install

    for installed in install(given.folders, given.into.expanduser()):
        print(f"{installed.what}: {installed.path}")
    return 0
