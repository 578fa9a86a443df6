"""Every code block of README.md and docs/ is run, and what it prints is compared with the page (`...` stands for anything).

    python      run in order, page by page, in one namespace; `>>>` lines are compared
    console     each `$ ` line is run by bash in a fresh folder of the page; what it prints is compared
    sh          a server or an installation, not run here: its program must exist, and its own --help must know every option
    toml, json  must parse
    text        no code

The servers of the `sh` blocks are run by tests/hub, tests/view and tests/binder.
"""

import doctest
import json
import os
import re
import shlex
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
        words = shlex.split(line, comments=True)
        program = next(i for i, word in enumerate(words) if word not in ("sudo", "bash") and "=" not in word)
        options = {word.partition("=")[0] for word in words[program:] if word.startswith("--")}
        named = words[program]
        if named.startswith("scripts/"):
            command = ["bash", str(ROOT / named), "--help"]
        elif named in ("emkit", "jupyter-repo2docker", "python"):
            inner = [word for word in words[program + 1 : program + 3] if not word.startswith("-")][: named == "emkit"]
            command = [named, *inner, "--help"] if named != "python" else []
        elif named in ("git", "cd", "apt-get"):
            command = []
        else:
            return f"{line}: conftest.py does not know the program {named}"
        said = subprocess.run(command, text=True, capture_output=True).stdout if command else " ".join(options)
        if unknown := {option for option in options if option not in said}:
            return f"{line}: {' '.join(command)} says nothing of {', '.join(sorted(unknown))}"
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
