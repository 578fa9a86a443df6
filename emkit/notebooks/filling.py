"""A template filled for one thing: a copy with values in its `parameters` cell. A copy that is there is never touched."""

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emkit.errors import ParameterError, PathError
from emkit.notebooks.templates import PARAMETERS, code_cells, literal, open_notebook


def fill(template: Path, out: Path, values: Mapping[str, Any]) -> bool:
    """Write the filled copy; False where `out` is there already, which then stays as it is.

    Only names that the template declares are set; comments stay. ParameterError where it declares none of them.
    """
    import nbformat

    if out.exists():
        return False
    notebook = open_notebook(template)
    filled = set()
    for _, cell in code_cells(notebook, PARAMETERS):
        cell.source, names = _filled(cell.source, values)
        filled |= names
    if not filled:
        raise ParameterError(f"{template} declares none of {', '.join(values)}; needed: a notebook with a cell of parameters.")
    notebook.metadata.pop("emkit", None)  # it is a person's own now, and no template
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new = out.with_name(f".{out.name}.{os.getpid()}")
        nbformat.write(notebook, new)
        try:
            os.link(new, out)  # all of it, and never over one that came meanwhile
        except FileExistsError:
            return False
        finally:
            new.unlink()
    except OSError as error:
        raise PathError(f"{out} cannot be written ({error.strerror}); needed: a folder of yours.") from None
    return True


def _filled(source: str, values: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The cell with new literals, and which names it declares; from the last line on, so that places stay right."""
    lines, names = source.splitlines(keepends=True), set()
    for statement in reversed(ast.parse(source).body):
        (name, *_) = found = list(literal(statement) or [""])
        value = getattr(statement, "value", None)
        if not found or name not in values or value is None:
            continue
        names.add(name)
        first, last = value.lineno - 1, value.end_lineno - 1
        before = lines[first].encode()[: value.col_offset].decode()
        after = lines[last].encode()[value.end_col_offset :].decode()
        lines[first : last + 1] = [f"{before}{values[name]!r}{after}"]
    return "".join(lines), names
