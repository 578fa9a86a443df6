"""The allowlist: what is a dashboard, what is not, and what its card shows."""

import json
import os
from pathlib import Path

import pytest
from emkit_hub.dashboards.gallery import Gallery, imported_modules

from tests.dashboards.site import write_notebook


def test_only_marked_notebooks_are_dashboards(tmp_path: Path) -> None:
    write_notebook(tmp_path / "yes.ipynb", [], title="Yes", summary="One line.", minutes=2)
    write_notebook(tmp_path / "no.ipynb", [], dashboard=False)
    (tmp_path / "other.ipynb").write_text(json.dumps({"cells": [], "metadata": {}}))
    (tmp_path / "notes.txt").write_text("no notebook")
    (tmp_path / "folder").mkdir()
    write_notebook(tmp_path / "folder" / "below.ipynb", [])
    [found] = Gallery([tmp_path]).read().values()
    assert (found.name, found.title, found.summary, found.minutes, found.picture) == ("yes", "Yes", "One line.", 2, None)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"metadata": {"emkit": "x"}}', '{"metadata": {"emkit": {"dashboard": "perhaps"}}}', "\udcff"]
)
def test_a_file_that_is_no_notebook_is_left_out(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad.ipynb").write_bytes(text.encode(errors="surrogateescape"))
    assert Gallery([tmp_path]).read() == {}
    assert "is no dashboard" in caplog.text and str(tmp_path / "bad.ipynb") in caplog.text


def test_a_name_that_could_be_a_path_is_left_out(tmp_path: Path) -> None:
    for name in ("a b.ipynb", "..ipynb", ".hidden.ipynb", "a%2fb.ipynb", "é.ipynb"):
        write_notebook(tmp_path / name, [])
    assert Gallery([tmp_path]).read() == {}


def test_an_edit_is_seen_and_the_first_folder_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write_notebook(folder / "same.ipynb", [], title=folder.name)
    gallery = Gallery([first, second])
    before = gallery.read()["same"]
    assert before.title == "first"
    write_notebook(first / "same.ipynb", [], title="edited")
    os.utime(first / "same.ipynb", ns=(0, before.changed_ns + 1))
    assert gallery.read()["same"].title == "edited"
    (first / "same.ipynb").unlink()
    assert gallery.read()["same"].title == "second"


def test_a_picture_lies_beside_its_notebook(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = tmp_path / "site"
    (site / "pictures").mkdir(parents=True)
    for file in (tmp_path / "secret.png", site / "pictures" / "good.png", site / "script.html"):
        file.write_bytes(b"")
    (site / "link.png").symlink_to(tmp_path / "secret.png")
    cases = {"good": "pictures/good.png", "up": "../secret.png", "link": "link.png", "html": "script.html", "gone": "gone.png"}
    for name, picture in cases.items():
        write_notebook(site / f"{name}.ipynb", [], picture=picture)
    found = Gallery([site]).read()
    assert {name for name, dashboard in found.items() if dashboard.picture} == {"good"}
    assert caplog.text.count("found no picture") == 4


def test_modules_that_notebooks_import(tmp_path: Path) -> None:
    write_notebook(
        tmp_path / "a.ipynb",
        ["import os.path, numpy as np", "from emkit_widgets.form import StepForm", "%matplotlib inline\nimport never"],
    )
    assert imported_modules(Gallery([tmp_path]).read().values()) == ["emkit_widgets.form", "numpy", "os.path"]
