"""The panel goes round: strokes become labels, a training goes on from the model, and what it learned is predicted at once."""

from pathlib import Path
from typing import Any

import pytest
from emkit_widgets.form import StepForm
from emkit_widgets.learn import LearnPanel

import emkit
from emkit.membrane.model import read_configuration
from emkit.run.step import bind
from emkit.server.easel import Window
from tests.io.readers import write_volume
from tests.steps.test_training import NM, cells

WINDOW: dict[str, int] = {"z": 0, "y": 0, "x": 0, "height": 96, "width": 96, "level": 0}


class SmallPanel(LearnPanel):
    """Of a network that a test can train."""

    def call(self) -> Any:
        given = {name: value for name, value in super().call().values.items() if value is not None}
        given.pop("cpu_seconds")
        small = {} if self.easel.model else {"width": 4}
        return bind(emkit.train_membranes, **given | small | {"steps": 2, "batch": 2, "patch_px": 32})


def stroke(panel: LearnPanel, value: int, *points: tuple[float, float], tool: str = "brush") -> None:
    panel.view._hear(None, {"do": "paint", "tool": tool, "value": value, "points": points, "radius": 1, "window": WINDOW}, [])
    assert panel.view.trouble == ""


def test_two_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gray, _ = cells(2)
    write_volume(tmp_path / "raw.ome.zarr", gray, NM)
    predicting = StepForm(emkit.predict_membranes)
    panel = SmallPanel(tmp_path / "raw.ome.zarr", tmp_path / "learned", predicting=predicting)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(panel.view, "send", lambda message, buffers=None: sent.append(message))
    panel.view._hear(None, {"do": "predict", "window": WINDOW}, [])
    panel.view.told.result(600)
    assert "There is no model yet" in panel.view.trouble and panel.view.busy == ""

    stroke(panel, 2, (0, 10), (0, 80))
    stroke(panel, 1, (12, 10), (12, 80))
    assert panel.view.counted == "Round 1: 2 strokes, 0.0 min"
    panel.view._hear(None, {"do": "train", "window": WINDOW}, [])
    panel.told.result(600)
    assert panel.view.model_name == "round_1" and panel.view.counted == "Round 2: 0 strokes, 0.0 min", panel.message.value
    assert predicting.fields["model"].given == str(tmp_path / "learned" / "round_1")
    assert 0 <= read_configuration(tmp_path / "learned" / "round_1").validation["iou"] <= 1

    panel.view.told.result(600)  # what is shown is predicted by itself
    assert panel.easel.look(Window(**WINDOW)).known.all() and sent[-1] == {"picture": WINDOW} and panel.view.trouble == ""
    panel.view._hear(None, {"do": "undo", "window": WINDOW}, [])
    again = SmallPanel(tmp_path / "raw.ome.zarr", tmp_path / "learned")  # the notebook is opened again
    assert again.view.model_name == "round_1" and again.easel.strokes.round.strokes == 0
    given = again.call().values
    assert given["out"].name == "round_2" and given["continue_from"].name == "round_1"


def test_places_are_those_of_a_viewer(tmp_path: Path) -> None:
    write_volume(tmp_path / "raw.ome.zarr", cells(3)[0], NM)
    panel = LearnPanel(tmp_path / "raw.ome.zarr", tmp_path / "learned")
    box = panel.view.windows_of([[0.0, 10.0, 20.0], [2.0, 40.0, 60.0]])
    assert box == [Window(z, 10, 20, 30, 40) for z in (0, 1)]
    panel.view.extent = 64
    assert panel.view.windows_of([[1.5, 90.0, 5.0]] * 2) == [Window(1, 32, 0, 64, 64)]
