"""A scan from raw sectors, counted through every face: function, command, form, recipe and notebook write the same bytes.

In the ordinary run the scan has 8 x 8 positions, in the campaign 64 x 64.
"""

from pathlib import Path

import pytest
from emkit_widgets.form import StepForm

import emkit
from emkit.cli import main
from emkit.io.counted import counted_header
from emkit.provenance import digest
from emkit.steps.imaging import Detector

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RECIPE = """
[[step]]
name = "counted"
step = "count_scan"
arguments = { source = "raw", dark = "raw/dark.npy", out = "recipe" }

[[step]]
name = "image"
step = "virtual_image"
arguments = { scan = "@counted", detector = "dark-field", inner_px = 150.0, outer_px = 280.0, out = "recipe.tif" }
"""


@pytest.mark.parametrize("positions", [8, pytest.param(64, marks=pytest.mark.campaign)])
def test_all_faces_write_the_same_bytes(positions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    emkit.make_scan_phantom(out=Path("raw"), scan_shape=(positions, positions), occupancy=0.002)

    report = emkit.count_scan(Path("raw"), out=Path("function"), dark=Path("raw/dark.npy"))
    assert main(["count-scan", "raw", "-o", "command", "--dark", "raw/dark.npy"]) == 0
    form = StepForm(emkit.count_scan, source="raw", out="form", dark="raw/dark.npy")
    assert (ended := form.start()) is not None
    ended.result(600)
    Path("recipe.toml").write_text(RECIPE)
    assert main(["run", "recipe.toml"]) == 0
    given = {"source": "raw", "out": "notebook", "dark": "raw/dark.npy"}
    words = [word for name, value in given.items() for word in ("-p", name, value)]
    assert main(["run-notebook", str(NOTEBOOKS / "count_a_scan.ipynb"), "-o", "done.ipynb", *words]) == 0

    assert form.result == report and report.whole == counted_header(Path("notebook")).frames == positions**2
    assert len({digest(Path(face)) for face in ("function", "command", "form", "recipe", "notebook")}) == 1

    detector: Detector = "dark-field"
    ring = {"inner_px": 150.0, "outer_px": 280.0}
    emkit.virtual_image(Path("function"), out=Path("function.tif"), detector=detector, **ring)
    asked = ["--detector", detector, "--inner-px", "150", "--outer-px", "280"]
    assert main(["virtual-image", "function", "-o", "command.tif", *asked]) == 0
    imaged = StepForm(emkit.virtual_image, scan="function", out="form.tif", detector=detector, **ring)
    assert imaged.run_now() is not None
    assert len({Path(f"{face}.tif").read_bytes() for face in ("function", "command", "form", "recipe")}) == 1
