"""Directives that show what the code declares, so that the reference cannot differ from it.

steps               one section per step, from its signature and docstring, as the command and the form are made
commands            the other commands, with the help they print
faults              what came of each fault for each spawner, from the report of the fault matrix
settings CLASS      a table of the fields of a pydantic model, `module:Class`
"""

import argparse
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from emkit.cli import build
from emkit.params import Parameter, Writes, parameters
from emkit.steps import STEPS, find, summary


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def toml(value: Any) -> str:
    """As a settings file says it; a default of a kind that TOML lacks, in words."""
    return json.dumps(value) if isinstance(value, str | bool | int | float | tuple | list) else shown(value)


def word(parameter: Parameter) -> str:
    """How the parameter is written on the command line."""
    if parameter.positional:
        return f"`{parameter.name.upper()}`"
    values = [parameter.word] * max(parameter.count, 1) if parameter.count else []
    written = " ".join([f"--{parameter.name.replace('_', '-')}", *values, *["..."] * (parameter.count < 0)])
    return f"`{written}`" + (", `-o`" if isinstance(parameter.role, Writes) else "")


def default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    return "" if parameter.default in (None, (), False) else f"`{shown(parameter.default)}`"


def step_lines(name: str) -> list[str]:
    rows = [f"| {cell(word(p))} | {default(p)} | {cell(p.help)} |" for p in parameters(find(name))]
    head = [f"## {name.replace('_', '-')}", "", summary(name), "", f"In Python: `emkit.{name}`.", ""]
    return [*head, "| word | default | meaning |", "|---|---|---|", *rows, ""]


def command_lines(name: str, parser: argparse.ArgumentParser) -> list[str]:
    return [f"### {name}", "", "```text", *parser.format_help().splitlines(), "```", ""]


def field_rows(model: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        value = field.default
        plain = value is not PydanticUndefined and not isinstance(value, BaseModel) and value not in (None, "", (), {})
        said = "A table, see below." if isinstance(value, BaseModel) else field.description or ""
        rows.append(f"| `{name}` | {f'`{toml(value)}`' if plain else ''} | {cell(said)} |")
    return rows


class Declared(SphinxDirective):
    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class Steps(Declared):
    def run(self) -> list[nodes.Node]:
        return self.parsed([line for name in STEPS for line in step_lines(name)])


class Commands(Declared):
    def run(self) -> list[nodes.Node]:
        _, commands = build([])
        steps = {name.replace("_", "-") for name in STEPS}
        return self.parsed([line for name, one in commands.items() if name not in steps for line in command_lines(name, one)])


class Settings(Declared):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].partition(":")
        return self.parsed(["| key | default | meaning |", "|---|---|---|", *field_rows(getattr(import_module(module), name))])


class Campaign(Declared):
    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / "campaign.json"
        self.env.note_dependency(str(file))
        found = json.loads(file.read_text())
        head = (
            f"{found['date']}, commit `{found['commit']}`, Python {found['python']}, {found['cores']} cores, "
            f"{found['examples']} examples of each property."
        )
        rows = [f"| {name} | {' | '.join(f'{value:g}' for value in room.values())} |" for name, room in found["rooms"].items()]
        return self.parsed([head, "", "| room | passed | failed | skipped | seconds |", "|---|---|---|---|---|", *rows])


def outcome(ways: dict[str, str]) -> str:
    """One cell: kept in every way, or in how many, and the first reason."""
    broken = [said.partition(": ")[2] for said in ways.values() if said.startswith("broken")]
    if broken:
        count = "" if len(ways) == 1 else f" {len(broken)} of {len(ways)}"
        return cell(f"**broken{count}**: {broken[0].rpartition('Broken: ')[2]}")
    return "kept" if "kept" in ways.values() else "not run" if ways else ""


class Faults(Declared):
    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / "faults.json"
        self.env.note_dependency(str(file))
        found = json.loads(file.read_text())
        columns = sorted({column for row in found["rows"].values() for column in row}, key=lambda name: (name.split()[1:], name))[
            ::-1
        ]
        head = (
            f"{found['date']}, commit `{found['commit']}`, {found['slurm']}, JupyterHub {found['jupyterhub']}, "
            f"batchspawner {found['batchspawner']}, Python {found['python']}."
        )
        rows = [
            f"| {cell(name)} | {' | '.join(outcome(row.get(column, {})) for column in columns)} |"
            for name, row in found["rows"].items()
        ]
        kept = [sum(outcome(row.get(column, {})) == "kept" for row in found["rows"].values()) for column in columns]
        ran = [sum(column in row for row in found["rows"].values()) for column in columns]
        total = " | ".join(f"**{one} of {of}**" for one, of in zip(kept, ran, strict=True))
        table = [f"| fault | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|", *rows, f"| **kept** | {total} |"]
        return self.parsed([head, "", *table])


def setup(app: Sphinx) -> dict[str, bool]:
    os.environ["COLUMNS"] = "120"  # argparse breaks its help there, on whatever terminal the pages are built
    app.add_directive("steps", Steps)
    app.add_directive("commands", Commands)
    app.add_directive("settings", Settings)
    app.add_directive("campaign", Campaign)
    app.add_directive("faults", Faults)
    return {"parallel_read_safe": True}
