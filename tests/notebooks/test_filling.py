"""A template filled for one thing: literals are replaced where they stand, and a copy that is there is left alone."""

from pathlib import Path

import nbformat
import pytest

from emkit.errors import ParameterError, PathError
from emkit.notebooks import fill, parameters_of

CELL = 'source = ""  # fälle: „Ordner“\nshape = (\n    1,\n    2,\n)  # lines\nout: str = "a"\nrun = False'


@pytest.fixture
def template(tmp_path: Path) -> Path:
    cell = nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), cell], metadata={"emkit": {"title": "T"}})
    nbformat.write(notebook, tmp_path / "template.ipynb")
    return tmp_path / "template.ipynb"


def test_values_take_the_place_of_literals_and_comments_stay(template: Path, tmp_path: Path) -> None:
    assert fill(template, tmp_path / "a/b.ipynb", {"source": "/data/ü'x", "shape": (3, 4), "other": 1})
    notebook = nbformat.read(tmp_path / "a/b.ipynb", as_version=4)
    assert parameters_of(notebook) == {"source": "/data/ü'x", "shape": (3, 4), "out": "a", "run": False}
    assert "# fälle: „Ordner“" in notebook.cells[1].source and ")  # lines" in notebook.cells[1].source
    assert "emkit" not in notebook.metadata and "emkit" in nbformat.read(template, as_version=4).metadata


def test_a_copy_that_is_there_stays(template: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.ipynb").write_text("edited")
    assert not fill(template, tmp_path / "mine.ipynb", {"source": "x"})
    assert (tmp_path / "mine.ipynb").read_text() == "edited"


def test_what_is_refused(template: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"template\.ipynb declares none of nothing"):
        fill(template, tmp_path / "b.ipynb", {"nothing": 1})
    (tmp_path / "file").write_text("")
    with pytest.raises(PathError, match="cannot be written"):
        fill(template, tmp_path / "file/b.ipynb", {"source": "x"})
