"""The directive `steps`: one section per step, made from its signature and docstring like the command and the form."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from emkit.params import Parameter, Writes, parameters
from emkit.steps import STEPS, find, summary


def word(parameter: Parameter) -> str:
    """How the parameter is written on the command line."""
    name = parameter.name.replace("_", "-")
    if parameter.positional:
        return f"`{parameter.name.upper()}`"
    value = (
        ""
        if parameter.count == 0
        else " " + " ".join([parameter.word] * max(parameter.count, 1)) + (" ..." if parameter.count < 0 else "")
    )
    return f"`--{name}{value}`" + (", `-o`" if isinstance(parameter.role, Writes) else "")


def default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value in (None, (), False) else f"`{' '.join(map(str, value)) if isinstance(value, tuple | list) else value}`"


def page(name: str) -> list[str]:
    """The section of one step, in MyST."""
    rows = [f"| {word(p)} | {default(p)} | {p.help.replace('|', chr(92) + '|')} |" for p in parameters(find(name))]
    heading = [f"## {name.replace('_', '-')}", "", summary(name), "", f"In Python: `emkit.{name}`.", ""]
    return [*heading, "| option | default | meaning |", "|---|---|---|", *rows, ""]


class Steps(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(line for name in STEPS for line in page(name)), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("steps", Steps)
    return {"parallel_read_safe": True}
