"""Every curated notebook runs without a person, on data that it makes itself."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from emkit.notebooks import Template, run, templates
from emkit.notebooks.templates import parameters_of

CURATED = templates([Path(__file__).parents[2] / "notebooks"])
BRIEF: dict[str, dict[str, Any]] = {  # where what takes long is how long somebody asks for
    "segment_a_volume": {"cpu_seconds": None, "steps": 30, "rate": 0.02, "width": 4, "patch_px": 64}
}
SHOWN = {"segment_a_volume": re.compile(r"[1-9]\d* objects at up to \d levels of detail")}  # in the view of cells in 3D


@pytest.mark.parametrize("template", CURATED, ids=lambda template: template.path.stem)
def test_it_runs_from_its_own_parameters(template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(template.path, Path("done.ipynb"), BRIEF.get(template.path.stem, {}))
    kept = nbformat.read("done.ipynb", as_version=4)
    widgets = kept.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    said = [str(widget["state"].get("value")) for widget in widgets]
    assert any("Done in" in text for text in said) or "run" not in parameters_of(kept)
    if wanted := SHOWN.get(template.path.stem):
        assert any(map(wanted.search, said))
