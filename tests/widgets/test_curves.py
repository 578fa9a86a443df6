"""The curves below a form of train-membranes: what a training has written, whoever drives it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emkit_widgets.curves import TrainingCurves
from emkit_widgets.form import StepForm

import emkit
from emkit.steps.curves import Point, keep_points, points_of_part, stop_asked, write_sample
from tests.steps.test_training import SMALL, cells, folder


@pytest.fixture
def building(tmp_path: Path) -> Path:
    """An output that is being built, with the points of one part."""
    building = tmp_path / "unfinished-m"
    (building / "checkpoints").mkdir(parents=True)
    with points_of_part(building, 0) as tell:
        tell(Point(10, 2.0, 1.5))
        tell(Point(20, 4.0, float("nan")))
        tell(Point(20, 5.0, 1.0, {"iou": 0.5, "f1": 0.6, "v_rand": 0.9, "v_info": 0.8}))
    write_sample(building, *np.zeros((3, 40, 300), np.float32))
    return building


@pytest.fixture
def form(tmp_path: Path) -> StepForm:
    return StepForm(emkit.train_membranes, out=tmp_path / "m")


def test_nothing_is_shown_before_a_training(form: StepForm) -> None:
    curves = TrainingCurves(form)
    assert (curves.state, curves.loss, curves.scores, curves.told, curves.sample) == ("none", [], {}, "", b"")
    form.fields["out"].entry.value = ""
    curves.look()
    assert curves.state == "none"


def test_it_shows_what_was_written_until_now(building: Path, form: StepForm) -> None:
    curves = TrainingCurves(form)
    assert curves.state == "paused" and not curves.resumable and curves.loss == [[10, 1.5], [20, 1.0]]
    assert curves.scores == {"V-Rand": [[20, 0.9]], "IoU": [[20, 0.5]]} and "V-Info 0.800" in curves.told
    assert curves.sample.startswith(b"\x89PNG")
    with points_of_part(building, 1) as tell:
        tell(Point(30, 6.0, 0.9))
        tell(Point(40, 7.0, 0.8))
    with points_of_part(building, 1) as tell:  # begun again after a cut
        tell(Point(28, 6.0, 0.95))
    curves._handle_custom_msg({}, [])  # as the page asks
    assert curves.loss == [[10, 1.5], [20, 1.0], [28, 0.95]] and curves.told.startswith("Step 28")


def test_a_line_that_is_being_written_is_not_read(building: Path, form: StepForm) -> None:
    (building / "checkpoints" / "1.jsonl").write_text('{"step": 30, "core_s"')
    assert TrainingCurves(form).loss == [[10, 1.5], [20, 1.0]]


def test_stop_is_heard_by_the_training_that_runs(building: Path, form: StepForm) -> None:
    curves = TrainingCurves(form)
    curves._handle_custom_msg({"stop": True}, [])
    assert not stop_asked(building)  # nobody drives it
    curves.state = "running"
    curves.stop()
    assert stop_asked(building) and curves.state == "stopping"


@pytest.mark.campaign  # two trainings
def test_a_training_that_is_paused_and_continued_comes_to_the_same_bytes(tmp_path: Path) -> None:
    gray, walls = cells()
    labels = folder(tmp_path / "walls", walls[:5].astype(np.uint8))
    given: dict[str, Any] = {"images": folder(tmp_path / "raw", gray), "labels": labels, "label_kind": "membrane"}
    given |= SMALL | {"steps": 100}  # four parts
    emkit.train_membranes(**given, out=tmp_path / "whole")
    form = StepForm(emkit.train_membranes, **given, out=tmp_path / "m")
    curves = TrainingCurves(form)
    ended = form.start()
    assert ended is not None and not curves.resumable
    while curves.state != "running" or len(curves.loss) < 26:  # into the second part
        curves.look()
    curves._handle_custom_msg({"pause": True}, [])
    ended.result(600)
    curves.look()
    assert (curves.state, curves.resumable) == ("paused", True)
    curves._handle_custom_msg({"go_on": True}, [])
    form.told.result(600)
    curves.look()
    assert curves.state == "done" and form.result.curve[-1].step == 100, form.message.value
    weights = [tmp_path / name / "weights.safetensors" for name in ("whole", "m")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_curves_of_a_model_stay_with_it(building: Path, form: StepForm) -> None:
    before = TrainingCurves(form)
    keep_points(building)
    for file in (building / "checkpoints").iterdir():
        file.unlink()
    (building / "checkpoints").rmdir()
    building.rename(building.with_name("m"))
    after = TrainingCurves(form)
    assert after.state == "done" and (after.loss, after.scores, after.sample) == (before.loss, before.scores, before.sample)
