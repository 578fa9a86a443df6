"""A curated notebook: a file of Jupyter's format whose metadata hold an `emkit` table, and the parameters of its tagged cell.

    {"emkit": {"title": "Align sections", "summary": "One line for the gallery.", "picture": "pictures/align_sections.png",
               "minutes": 2.0, "dashboard": true}}

The picture is a path beside the notebook. Format: nbformat 4, https://nbformat.readthedocs.io.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emkit.errors import PathError

KEYS: dict[str, type] = {"title": str, "summary": str, "picture": str, "minutes": float, "dashboard": bool}
PARAMETERS = "parameters"  # papermill's tag


@dataclass(frozen=True)
class Template:
    """A curated notebook as galleries show it; `minutes` is how long it takes with its own parameters."""

    path: Path
    title: str
    summary: str
    picture: Path
    minutes: float
    dashboard: bool


def templates(folders: Iterable[Path]) -> list[Template]:
    """The curated notebooks of some folders, in the order of folders and names. Notebooks without `emkit` metadata are none.

    A notebook that says it is one but lacks something is shown with what it has; `check` tells what is missing.
    """
    paths = [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]
    return [found for path in paths if (found := _template(path)) is not None]


def _template(path: Path) -> Template | None:
    if not (facts := open_notebook(path).metadata.get("emkit")):
        return None
    good: dict[str, Any] = {key: value for key, value in facts.items() if key in KEYS and fits(value, KEYS[key])}
    return Template(
        path,
        title=good.get("title", path.stem.replace("_", " ")),
        summary=good.get("summary", ""),
        picture=path.parent / good.get("picture", ""),
        minutes=good.get("minutes", 0.0),
        dashboard=good.get("dashboard", False),
    )


def fits(value: Any, kind: type) -> bool:
    """Whether a value of the metadata is of its kind; 2 is a number as 2.0 is."""
    return isinstance(value, kind) or (kind is float and type(value) is int)


def open_notebook(path: Path) -> Any:
    """The notebook (an nbformat node, version 4); refused with a PathError if it is none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise PathError(f"{path} does not exist; needed: a Jupyter notebook (.ipynb).") from None
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise PathError(f"{path} is no Jupyter notebook ({reason}); needed: an .ipynb as JupyterLab saves it.") from None


def code_cells(notebook: Any, tag: str | None = None) -> Iterator[tuple[int, Any]]:
    """Position (from 1, as people count) and cell of all code cells, or of those with a tag."""
    for position, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code" and (tag is None or tag in cell.metadata.get("tags", [])):
            yield position, cell


def parameters_of(notebook: Any) -> dict[str, Any]:
    """Names and defaults that the cell tagged `parameters` assigns: literals, since anything else cannot be told before a run."""
    found: dict[str, Any] = {}
    for _, cell in code_cells(notebook, PARAMETERS):
        for statement in ast.parse(cell.source).body:
            if (assigned := literal(statement)) is not None:
                found |= assigned
    return found


def literal(statement: ast.stmt) -> dict[str, Any] | None:
    """{name: value} of a statement that assigns a literal to one name, else None."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return None
    try:
        return {name: ast.literal_eval(value)}
    except ValueError:
        return None
