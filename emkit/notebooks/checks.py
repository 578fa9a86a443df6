"""What a notebook lacks to be a curated one. Each finding says where, what was found, and what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emkit
from emkit.notebooks.templates import KEYS, PARAMETERS, code_cells, fits, literal, open_notebook

LOGIC_LINES = 5
SUMMARY_LETTERS = 140
PICTURE_BYTES = 500_000
PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".webp")
NEEDED = {str: "text", float: "a number, as 2.0", bool: "true or false"}
HEAD = ("Aim", "Time", "Size")
NAME = re.compile(r"[A-Za-z0-9][\w-]{0,80}")  # it becomes part of an address


def check(path: Path) -> list[str]:
    """What is missing, nothing if the notebook is a curated one."""
    notebook = open_notebook(path)
    inside = [*_head(notebook), *_parameters(notebook), *_stripped(notebook), *_code(notebook)]
    return [*_name(path), *_metadata(path, notebook), *inside]


def _name(path: Path) -> Iterator[str]:
    if not NAME.fullmatch(path.stem):
        yield f"file name: found {path.stem!r}, needed letters, digits, _ and - alone; rename the file."


def _metadata(path: Path, notebook: Any) -> Iterator[str]:
    facts = notebook.metadata.get("emkit", {})
    for key, kind in KEYS.items():
        if key not in facts:
            yield f"metadata: emkit.{key} is missing; needed in the table emkit: {', '.join(KEYS)}."
        elif not fits(facts[key], kind):
            yield f"metadata: emkit.{key} is {facts[key]!r}; needed: {NEEDED[kind]}."
    if isinstance(summary := facts.get("summary"), str) and ("\n" in summary or not 0 < len(summary) <= SUMMARY_LETTERS):
        yield f"metadata: emkit.summary has {len(summary)} letters; needed: one line of at most {SUMMARY_LETTERS}."
    if isinstance(named := facts.get("picture"), str):
        yield from _picture(path, named)
    if (kernel := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield f"metadata: the kernel is {kernel!r}; needed: python3, which every place has. Choose it and save."


def _picture(path: Path, named: str) -> Iterator[str]:
    picture = path.parent / named
    if not picture.resolve().is_relative_to(path.parent.resolve()) or picture.suffix.lower() not in PICTURES:
        yield f"metadata: emkit.picture is {named!r}; needed: a {', '.join(PICTURES)} below the notebook's folder."
    elif not picture.is_file():
        yield f"metadata: the picture {named} is not there; put it beside the notebook (a screenshot of its result will do)."
    elif (size := picture.stat().st_size) > PICTURE_BYTES:
        yield f"metadata: the picture {named} has {size:,} bytes; needed: at most {PICTURE_BYTES:,}. Make it smaller."


def _head(notebook: Any) -> Iterator[str]:
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "cell 1: needed: text that begins with the title as a heading (# Title)."
        return
    for word in HEAD:
        if not re.search(rf"\b{word}\b", first.source):
            yield f"cell 1: '{word}' is missing; say the aim, the expected time and the size of the data on top."


def _parameters(notebook: Any) -> Iterator[str]:
    tagged = list(code_cells(notebook, PARAMETERS))
    if len(tagged) != 1:
        yield f"found {len(tagged)} cells tagged '{PARAMETERS}', needed one: the cell that assigns what a user may change."
    for position, cell in tagged:
        for statement in _statements(cell):
            if literal(statement) is None:
                yield f"cell {position}, line {statement.lineno}: needed: NAME = a literal, so that it can be set from outside."


def _stripped(notebook: Any) -> Iterator[str]:
    full = [position for position, cell in code_cells(notebook) if cell.outputs or cell.execution_count]
    if full:
        yield f"cells {', '.join(map(str, full))} hold outputs; clear all outputs and save."
    if "widgets" in notebook.metadata:
        yield "metadata: the state of widgets is saved within; switch 'Save Widget State Automatically' off, and save."


def _code(notebook: Any) -> Iterator[str]:
    for position, cell in code_cells(notebook):
        try:
            statements = _statements(cell)
        except SyntaxError as error:
            yield f"cell {position}, line {error.lineno}: not plain Python ({error.msg}); leave out magics and shell lines."
            continue
        logic = {line for statement in statements for line in _lines(statement)}
        if len(logic) > LOGIC_LINES and PARAMETERS not in cell.metadata.get("tags", []):
            yield f"cell {position}: {len(logic)} lines of logic, needed: at most {LOGIC_LINES}; move them into a step or a widget."
        for statement in statements:
            yield from (f"cell {position}, line {line}: {finding}" for line, finding in _names(statement))


def _statements(cell: Any) -> list[ast.stmt]:
    return list(ast.parse(cell.source).body)


def _lines(statement: ast.stmt) -> Iterator[int]:
    """The lines on which something of a statement begins; an import is no logic."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (node.lineno for node in ast.walk(statement) if isinstance(node, ast.expr | ast.stmt))


def _names(statement: ast.stmt) -> Iterator[tuple[int, str]]:
    """What a notebook takes from emkit beyond its public names."""
    public = set(emkit.__all__)
    for node in ast.walk(statement):
        taken: list[str] = []
        match node:
            case ast.Attribute(value=ast.Name(id="emkit"), attr=name):
                taken = [name]
            case ast.ImportFrom(module="emkit", names=names):
                taken = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)) if module.startswith("emkit."):
                taken = [module.removeprefix("emkit.")]
            case ast.Import(names=names):
                taken = [alias.name.removeprefix("emkit.") for alias in names if alias.name.startswith("emkit.")]
        for name in taken:
            if name not in public:
                yield statement.lineno, f"emkit.{name} is not public; there are {', '.join(sorted(public))}."
