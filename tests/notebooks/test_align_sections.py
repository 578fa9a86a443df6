"""The curated notebook without a person: what it writes is, byte for byte, what the function, the command and the form write."""

import os
from pathlib import Path

import pytest
from emkit_widgets.form import StepForm

import emkit
from emkit.cli import main
from emkit.provenance import digest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "align_sections.ipynb"
VOXEL = (50.0, 4.0, 4.5)


def test_all_faces_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    emkit.make_phantom(out=Path("my sections"), sections=6, size_px=160, bad=(3,))
    report = emkit.align_sections(Path("my sections"), out=Path("function.ome.zarr"), voxel_size_nm=VOXEL, exclude=(3,))
    words = ["-o", "command.ome.zarr", "--voxel-size-nm", "50", "4", "4.5", "--exclude", "3"]
    assert main(["align-sections", "my sections", *words]) == 0
    form = StepForm(emkit.align_sections, source="my sections", out="form.ome.zarr", voxel_size_nm=VOXEL, exclude=(3,))
    assert (ended := form.start()) is not None
    ended.result(60)
    given = {"source": "my sections", "out": "notebook.ome.zarr", "voxel_size_nm": "50 4 4.5", "exclude": "3"}
    pairs = [word for name, value in given.items() for word in ("-p", name, value)]
    assert main(["run-notebook", str(NOTEBOOK), "-o", "done.ipynb", *pairs]) == 0
    assert form.result == report
    assert len({digest(Path(f"{face}.ome.zarr")) for face in ("function", "command", "form", "notebook")}) == 1


def test_a_refused_value_ends_it_with_the_message_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run-notebook", str(NOTEBOOK), "-o", "done.ipynb", "-p", "source", "nowhere"]) == 3
    told = capsys.readouterr().err
    assert "nowhere does not exist" in told and "cell 6" in told and "Traceback" not in told
    assert sorted(os.listdir()) == ["done.ipynb"]
