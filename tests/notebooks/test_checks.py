"""`emkit check-notebook` says what a notebook lacks; every curated one lacks nothing and runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from emkit.cli import main
from emkit.notebooks import check, templates

CURATED = Path(__file__).parents[2] / "notebooks"


def good_notebook() -> Any:
    """A notebook that lacks nothing, for tests to break."""
    parameters = new_code_cell("source = ''\nvoxel_size_nm: tuple = (45, 4.6, 4.6)  # nm", metadata={"tags": ["parameters"]})
    head = new_markdown_cell("# Align\n\n**Aim** …\n\n**Time** 1 min. **Size** 10 MB.")
    work = new_code_cell("import emkit\nfrom emkit_widgets.form import StepForm\n\nStepForm(emkit.align_sections, source=source)")
    notebook = new_notebook(cells=[head, parameters, work])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.emkit = {"title": "Align", "summary": "One line.", "picture": "a.png", "minutes": 2, "dashboard": True}
    return notebook


def found_in(folder: Path, notebook: Any, name: str = "align.ipynb") -> list[str]:
    (folder / "a.png").write_bytes(b"png")
    nbformat.write(notebook, folder / name)
    return check(folder / name)


def test_a_curated_notebook_lacks_nothing(tmp_path: Path) -> None:
    assert found_in(tmp_path, good_notebook()) == []


def without_head(notebook: Any) -> None:
    notebook.cells[0].source = "# Align\n\nAim, Time"


def without_title(notebook: Any) -> None:
    notebook.metadata.emkit.pop("title")
    notebook.cells[0].source = "no heading"


def with_wrong_facts(notebook: Any) -> None:
    notebook.metadata.emkit.update(dashboard="yes", summary="", picture="../a.png", minutes=True)
    notebook.metadata.kernelspec.name = "julia"


def without_picture(notebook: Any) -> None:
    notebook.metadata.emkit.picture = "b.png"


def with_big_picture(notebook: Any) -> None:
    notebook.metadata.emkit.picture = "big.png"


def without_parameters(notebook: Any) -> None:
    notebook.cells[1].metadata.tags = []


def with_computed_parameter(notebook: Any) -> None:
    notebook.cells[1].source += "\nn = len(source)"


def with_outputs(notebook: Any) -> None:
    notebook.cells[2].execution_count = 3
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}


def with_logic(notebook: Any) -> None:
    lines = ["import os  # no logic", "# nor this", "for i in range(3):", *(f"    print({i})" for i in range(5))]
    notebook.cells[2].source = "\n".join(lines)


def with_private_names(notebook: Any) -> None:
    lines = ["import emkit", "import emkit.runs", "from emkit.io import omezarr", "from emkit import hidden", "emkit.secret()"]
    notebook.cells[2].source = "\n".join(lines)


def with_magic(notebook: Any) -> None:
    notebook.cells[2].source = "x = 1\n%matplotlib inline"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (without_head, ["cell 1: 'Size' is missing"]),
        (without_title, ["metadata: emkit.title is missing", "cell 1: needed: text that begins with the title"]),
        (
            with_wrong_facts,
            [
                "metadata: emkit.minutes is True; needed: a number",
                "metadata: emkit.dashboard is 'yes'; needed: true or false",
                "metadata: emkit.summary has 0 letters",
                "metadata: emkit.picture is '../a.png'",
                "metadata: the kernel is 'julia'; needed: python3",
            ],
        ),
        (without_picture, ["metadata: the picture b.png is not there"]),
        (with_big_picture, ["metadata: the picture big.png has 600,000 bytes; needed: at most 500,000"]),
        (without_parameters, ["found 0 cells tagged 'parameters', needed one"]),
        (with_computed_parameter, ["cell 2, line 3: needed: NAME = a literal"]),
        (with_outputs, ["cells 3 hold outputs", "metadata: the state of widgets"]),
        (with_logic, ["cell 3: 6 lines of logic, needed: at most 5"]),
        (
            with_private_names,
            [f"cell 3, line {2 + i}: emkit.{name} is not public" for i, name in enumerate(("runs", "io", "hidden", "secret"))],
        ),
        (with_magic, ["cell 3, line 2: not plain Python"]),
    ],
)
def test_each_thing_that_is_missing_is_said_once(tmp_path: Path, broken: Callable[[Any], None], said: list[str]) -> None:
    (tmp_path / "big.png").write_bytes(bytes(600_000))
    notebook = good_notebook()
    broken(notebook)
    found = found_in(tmp_path, notebook)
    assert [finding[: len(words)] for finding, words in zip(found, said, strict=True)] == said


def test_a_name_must_fit_into_an_address(tmp_path: Path) -> None:
    assert found_in(tmp_path, good_notebook(), "my notebook.ipynb")[0].startswith("file name: found 'my notebook'")


def test_the_command_exits_with_3_if_anything_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = good_notebook()
    found_in(tmp_path, notebook)
    assert main(["check-notebook", str(tmp_path / "align.ipynb")]) == 0 and "nothing is missing" in capsys.readouterr().out
    without_head(notebook)
    found_in(tmp_path, notebook)
    assert main(["check-notebook", str(tmp_path / "align.ipynb")]) == 3 and "'Size' is missing" in capsys.readouterr().err


def test_templates_are_the_notebooks_that_say_so(tmp_path: Path) -> None:
    found_in(tmp_path, good_notebook())
    nbformat.write(new_notebook(), tmp_path / "scratch.ipynb")
    half = new_notebook(metadata={"emkit": {"title": 3, "summary": "Half."}})
    nbformat.write(half, tmp_path / "half_done.ipynb")
    (align, half_done) = templates([tmp_path])
    assert (align.title, align.minutes, align.dashboard, align.picture) == ("Align", 2, True, tmp_path / "a.png")
    assert (half_done.title, half_done.summary, half_done.dashboard) == ("half done", "Half.", False)


@pytest.mark.parametrize("path", sorted(CURATED.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_curated_notebook_lacks_nothing(path: Path) -> None:
    assert check(path) == []


def test_there_are_curated_notebooks() -> None:
    assert "align_sections" in [template.path.stem for template in templates([CURATED])]
