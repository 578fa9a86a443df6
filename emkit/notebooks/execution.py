"""A notebook run from its first cell to its last without a person: parameters set from outside, all that it says kept.

A notebook that declares the parameter `run` waits for a person to press Run where it is False; here it is True unless it is
given. Parameters are set as papermill does it: by a cell tagged `injected-parameters` after the one tagged `parameters`.
"""

import ast
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from emkit.errors import EmkitError, ParameterError, PathError
from emkit.notebooks.templates import PARAMETERS, code_cells, open_notebook, parameters_of
from emkit.progress import Cancelled, track

NEEDED = {bool: "true or false", int: "a whole number", float: "a number", tuple: "numbers, as 45 4.6 4.6", list: "numbers, as 3 7"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class NotebookError(EmkitError):
    """A cell stopped at an error that is none of emkit's own."""


def run(path: Path, out: Path, parameters: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Run a notebook and keep it, with its outputs, as `out`: also where a cell fails or the run is cancelled.

    Text is read in the type of the notebook's own default. Relative paths are taken from the current folder. An error of
    emkit in a cell is raised here as what it was.
    """
    import nbformat

    notebook = open_notebook(path)
    _check_out(path, out, overwrite=overwrite)
    _set_parameters(notebook, path, parameters)
    try:
        _execute(notebook, path, out)
    finally:
        nbformat.write(notebook, out)


def _check_out(path: Path, out: Path, *, overwrite: bool) -> None:
    if not (folder := out.absolute().parent).is_dir():
        raise PathError(f"out: the folder {folder} does not exist; make it first.")
    if out.is_dir() or (out.exists() and out.samefile(path)):
        raise PathError(f"out: {out} is {'a folder' if out.is_dir() else 'the notebook itself'}; choose another name.")
    if out.exists() and not overwrite:
        raise PathError(f"out: {out} exists. Choose another name, or pass --overwrite to replace it.")


def _set_parameters(notebook: Any, path: Path, given: Mapping[str, Any]) -> None:
    """Put the values into a cell of their own after the one tagged `parameters`."""
    from nbformat.v4 import new_code_cell

    defaults = parameters_of(notebook)
    for name in given:
        if name not in defaults:
            near = get_close_matches(name, defaults, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(defaults) or 'none'}."
            raise ParameterError(f"{name}: {path.name} has no such parameter. {hint}")
    headless = {"run": True} if defaults.get("run") is False else {}
    values = headless | {name: _typed(name, value, defaults[name]) for name, value in given.items()}
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    for position, _ in code_cells(notebook, PARAMETERS):
        cell = new_code_cell("\n".join(lines), metadata={"tags": [f"injected-{PARAMETERS}"]})
        notebook.cells.insert(position, cell)


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value in the type of the default; what is no text is taken as it is."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    try:
        if isinstance(default, bool):
            return WORDS[value.lower()]
        if isinstance(default, list | tuple):
            return type(default)(ast.literal_eval(word) for word in value.strip("()[]").replace(",", " ").split())
        return type(default)(value) if default is not None else ast.literal_eval(value)
    except (KeyError, ValueError, SyntaxError):
        raise ParameterError(f"{name}: found {value!r}, needed {NEEDED.get(type(default), 'a Python literal')}.") from None


def _execute(notebook: Any, path: Path, out: Path) -> None:
    """Run cell after cell in a kernel of this Python."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    client = NotebookClient(notebook, timeout=None, kernel_name="python3", shutdown_kernel="immediate")
    manager = client.create_kernel_manager()
    position, kept = 0, f"The notebook up to there is {out}."
    with TemporaryDirectory(prefix="emkit-") as folder:
        manager.transport, manager.ip = "ipc", f"{folder}/kernel"  # to TCP every account of the machine could listen
        try:
            with client.setup_kernel():
                for position, cell in enumerate(track(notebook.cells, path.name, "cells"), 1):
                    client.execute_cell(cell, position - 1)
                client.set_widgets_metadata()
        except CellExecutionError as failed:
            kind = next((known for known in _family(EmkitError) if known.__name__ == failed.ename), NotebookError)
            words = failed.evalue if kind is not NotebookError else f"{failed.ename}: {failed.evalue}"
            raise kind(f"{path.name}, cell {position}: {words}\n{kept}") from None
        except DeadKernelError:
            raise NotebookError(f"{path.name}, cell {position}: its kernel died, often for lack of memory.\n{kept}") from None
        except KeyboardInterrupt:
            raise Cancelled(f"cancelled in cell {position} of {len(notebook.cells)}. {kept}") from None


def _family(base: type[EmkitError]) -> Iterator[type[EmkitError]]:
    yield base
    for child in base.__subclasses__():
        yield from _family(child)
