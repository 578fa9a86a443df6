"""Curated notebooks reach a home, and what a user has edited stays theirs."""

from pathlib import Path

import nbformat
import pytest

from emkit.errors import PathError
from emkit.notebooks import install


def write_template(folder: Path, text: str) -> Path:
    """A curated notebook `align.ipynb` of one cell, with a picture."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="head")])
    notebook.metadata["emkit"] = {"title": "Align", "picture": "pictures/align.png"}
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "pictures/align.png").write_bytes(b"a picture")
    nbformat.write(notebook, folder / "align.ipynb")
    return folder


def what(folder: Path, home: Path) -> dict[str, str]:
    return {done.path.relative_to(home).as_posix(): done.what for done in install([folder], home)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_template(tmp_path / "curated", "# first")


def test_first_start_copies_and_the_second_leaves_all_as_it_is(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home" / "notebooks"
    assert what(folder, home) == {"align.ipynb": "copied", "pictures/align.png": "copied"}
    assert (home / "align.ipynb").read_bytes() == (folder / "align.ipynb").read_bytes()
    assert set(what(folder, home).values()) == {"kept"}


def test_a_newer_template_replaces_what_was_not_edited(folder: Path, tmp_path: Path) -> None:
    install([folder], tmp_path / "home")
    write_template(folder, "# second")
    assert what(folder, tmp_path / "home")["align.ipynb"] == "replaced"
    assert "# second" in (tmp_path / "home/align.ipynb").read_text()


def test_an_edited_notebook_stays_and_the_newer_one_comes_beside_it(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    install([folder], home)
    (home / "align.ipynb").write_text("mine")
    assert what(folder, home)["align.ipynb"] == "kept"
    write_template(folder, "# second")
    assert what(folder, home)["align.new.ipynb"] == "beside"
    (home / "align.new.ipynb").write_text("mine too")
    write_template(folder, "# third")
    assert set(what(folder, home).values()) == {"kept"}
    assert (home / "align.ipynb").read_text() == "mine" and (home / "align.new.ipynb").read_text() == "mine too"


def test_a_file_of_the_user_that_was_never_copied_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    (home / "align.ipynb").write_text("mine")
    assert what(folder, home)["align.new.ipynb"] == "beside"
    assert (home / "align.ipynb").read_text() == "mine"


def test_a_deleted_notebook_comes_back_fresh(folder: Path, tmp_path: Path) -> None:
    install([folder], tmp_path / "home")
    (tmp_path / "home/align.ipynb").unlink()
    assert what(folder, tmp_path / "home")["align.ipynb"] == "copied"


def test_notebooks_that_are_not_curated_stay_where_they_are(tmp_path: Path) -> None:
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "scratch.ipynb")
    assert install([tmp_path], tmp_path / "home") == []


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="nowhere is no folder; needed: one that holds curated notebooks"):
        install([tmp_path / "nowhere"], tmp_path / "home")
