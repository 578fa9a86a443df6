"""Every code block of README.md and docs/ is run, and what it prints is compared with the page (`...` stands for anything).

    python      run in order, page by page, in one namespace; `>>>` lines are compared
    console     each `$ ` line is run by bash in a fresh folder of the page; what it prints is compared
    sh          a server or an installation, not run here: the program must exist, and the help of ours name every option
    toml, json  must parse
    text        no code

The servers of the `sh` blocks are run by tests/hub, tests/view and tests/binder.
"""

import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ANSWERS = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<answer>(?:(?!\$ ).*\n?)*)", re.M)


def run_console(example: Example) -> str | None:
    for found in ANSWERS.finditer(example.parsed):
        done = subprocess.run(
            ["bash", "-c", found["command"]], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        shown = found["answer"].strip() not in ("", "...")  # a page may show a refusal, but not hide one
        same = doctest.OutputChecker().check_output(found["answer"].rstrip() + "\n", done.stdout.rstrip() + "\n", FLAGS)
        if not same or (done.returncode and not shown):
            return (
                f"$ {found['command']}\nthe page says:\n{found['answer']}\nit printed (exit code {done.returncode}):\n{done.stdout}"
            )
    return None


def look_up_options(example: Example) -> str | None:
    for line in filter(None, example.parsed.replace("\\\n", "").splitlines()):
        program, *words = shlex.split(line, comments=True)
        if program in ("emkit", "emkit-hub") or program.startswith("scripts/"):
            command = [str(ROOT / program)] if program.startswith("scripts/") else [program, words[0]]
            asked = subprocess.run([*command, "--help"], text=True, capture_output=True)
            unknown = {word for word in words if word.startswith("--") and word not in asked.stdout}
            if asked.returncode or unknown:
                return f"{line}: {' '.join(command)} --help says nothing of {', '.join(sorted(unknown))}\n{asked.stderr}"
        elif shutil.which(program) is None:
            return f"{line}: there is no program {program}"
    return None


def must_parse_toml(example: Example) -> None:
    tomllib.loads(example.parsed)


def must_parse_json(example: Example) -> None:
    json.loads(example.parsed)


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh working folder for one page, with the commands of this environment first on PATH."""
    folder, patch = tmp_path_factory.mktemp("page"), pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    patch.setenv("COLUMNS", "120")
    patch.setenv("EMKIT_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))  # the last run is the page's own
    yield folder
    patch.undo()


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=FLAGS),
        CodeBlockParser("console", run_console),
        CodeBlockParser("sh", look_up_options),
        CodeBlockParser("toml", must_parse_toml),
        CodeBlockParser("json", must_parse_json),
    ],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
    fixtures=["page_folder"],
).pytest()
