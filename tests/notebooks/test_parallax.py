"""The notebook finds the defocus that it planted, and shows the phase beside the true one."""

import json
from pathlib import Path

import nbformat
import pytest

from emkit.cli import main

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "parallax.ipynb"


def test_the_planted_defocus_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-p", "run", "True", "-p", "defocus_nm", "-18"]
    assert main(["run-notebook", str(NOTEBOOK), "-o", "done.ipynb", *words]) == 0
    found = json.loads(Path("phase.tif.crate/result.json").read_text())
    assert found["defocus_nm"] == pytest.approx(-18, rel=0.05) and found["rotation_deg"] == pytest.approx(15, abs=3)
    kept = nbformat.read("done.ipynb", as_version=4)
    state = kept.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    said = " ".join(str(widget["state"].get("value")) for widget in state.values())
    assert "planted" in said and "The correlation of the two" in said and "defocus" in said
