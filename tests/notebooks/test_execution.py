"""A notebook runs without a person: typed parameters, one message for what fails, and it is kept whatever comes."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from emkit.cli import main
from emkit.errors import EmkitError, ParameterError, PathError
from emkit.notebooks import run
from emkit.progress import listening

PARAMETERS = 'source = ""\nvoxel_size_nm = (45, 4.6, 4.6)\nshift = 200\nrun = False\nexclude = [0]\nscale = 1.0'


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def printed(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]


def test_text_takes_the_type_of_the_default_and_run_is_pressed(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "a.ipynb", "print((source, voxel_size_nm, shift, exclude, scale, run))")
    given = {"source": "42", "voxel_size_nm": "45 4 4.5", "shift": "-3", "exclude": "[3, 7]", "scale": "2"}
    ticks = []
    with listening(lambda tick: ticks.append((tick.done, tick.total))):
        run(path, tmp_path / "out.ipynb", given)
    assert printed(tmp_path / "out.ipynb") == ["('42', (45, 4, 4.5), -3, [3, 7], 2.0, True)\n"]
    assert ticks[-1] == (3, 3)
    tags = [cell.metadata.get("tags") for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells]
    assert tags[:2] == [["parameters"], ["injected-parameters"]]


@pytest.mark.parametrize(
    ("given", "refusal", "said"),
    [
        ({"sorce": "x"}, ParameterError, "sorce: a.ipynb has no such parameter. Did you mean source"),
        ({"zzz": "x"}, ParameterError, "It has source, voxel_size_nm"),
        ({"shift": "2.5"}, ParameterError, "shift: found '2.5', needed a whole number"),
        ({"run": "perhaps"}, ParameterError, "needed true or false"),
        ({"voxel_size_nm": "45 x"}, ParameterError, "voxel_size_nm: found '45 x', needed numbers, as 45 4.6 4.6"),
    ],
)
def test_refused_before_a_kernel_starts(tmp_path: Path, given: dict[str, Any], refusal: type[EmkitError], said: str) -> None:
    path = write_notebook(tmp_path / "a.ipynb")
    with pytest.raises(refusal, match=said):
        run(path, tmp_path / "out.ipynb", given)
    assert os.listdir(tmp_path) == ["a.ipynb"]


def test_outputs_are_guarded(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "a.ipynb")
    (tmp_path / "there.ipynb").write_text("mine")
    for out, said in (("there.ipynb", "exists"), ("a.ipynb", "the notebook itself"), ("no/b.ipynb", "make it first")):
        with pytest.raises(PathError, match=said):
            run(path, tmp_path / out, {})
    with pytest.raises(PathError, match="itself"):
        run(path, path, {}, overwrite=True)
    (tmp_path / "text.ipynb").write_text("no notebook")
    for name, said in (("text.ipynb", "is no Jupyter notebook"), ("nowhere.ipynb", "does not exist")):
        with pytest.raises(PathError, match=said):
            run(tmp_path / name, tmp_path / "out.ipynb", {})
    assert (tmp_path / "there.ipynb").read_text() == "mine"


@pytest.mark.parametrize(
    ("cell", "code", "said"),
    [
        ("from emkit.errors import DataError\nraise DataError('03.tif holds NaN')", 3, "a.ipynb, cell 4: 03.tif holds NaN\n"),
        ("from emkit.errors import DamagedError\nraise DamagedError('two chunks differ')", 4, "cell 4: two chunks differ"),
        ("1 / 0", 3, "cell 4: ZeroDivisionError: division by zero"),
        ("import os; os._exit(9)", 3, "cell 4: its kernel died"),
    ],
)
def test_a_failing_cell_is_one_message_and_the_notebook_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cell: str, code: int, said: str
) -> None:
    path, out = write_notebook(tmp_path / "a.ipynb", "print('before')", cell), tmp_path / "out.ipynb"
    assert main(["run-notebook", str(path), "-o", str(out)]) == code
    told = capsys.readouterr().err
    assert said in told and f"The notebook up to there is {out}" in told and "Traceback" not in told
    assert printed(out) == ["before\n"]


def test_ctrl_c_ends_it_at_once_and_keeps_the_notebook(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    wait = f"import time\nopen({str(pipe)!r}, 'w').close()\ntime.sleep(600)"
    path = write_notebook(tmp_path / "a.ipynb", "print('before')", wait)
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-c", "from emkit.cli import main; exit(main())", "run-notebook", str(path), "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        select.select([reader, process.stderr.fileno()], [], [], 60)  # the last cell runs, or something went wrong
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    os.close(reader)
    assert process.returncode == 130 and "cancelled in cell 4 of 4. The notebook up to there is" in told
    assert "Traceback" not in told and printed(out) == ["before\n"]
