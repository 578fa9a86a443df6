"""The thresholds view estimates what the step would, counts as it would, and its lines and the form's fields are one."""

from pathlib import Path

import numpy as np
import pytest
from emkit_widgets.counting import SHOWN, ThresholdsView
from emkit_widgets.form import StepForm

import emkit
from emkit.count import Thresholds, count_frames
from emkit.io.counted import read_counted
from emkit.io.sectors import open_sectors


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan") / "raw"
    emkit.make_scan_phantom(out=folder, scan_shape=(2, 3), occupancy=0.002)
    return folder


@pytest.fixture
def form(raw: Path, tmp_path: Path) -> StepForm:
    return StepForm(emkit.count_scan, source=raw, out=tmp_path / "counted")


def marked(view: ThresholdsView) -> list[int]:
    return list(np.frombuffer(view.frames.events, "<u4"))


def fields(form: StepForm) -> list[str | None]:
    return [form.fields[name].given for name in ("background", "xray")]


def test_it_shows_what_the_step_estimates_and_counts(raw: Path, form: StepForm) -> None:
    view = ThresholdsView(form)
    report = emkit.count_scan(raw, out=form.call().values["out"])
    assert fields(form) == [None, None]  # the step estimates
    assert (view.lines.background, view.lines.xray) == (round(report.background, 2), round(report.xray, 2))
    assert view.lines.begins + len(view.lines.histogram) > report.xray and sum(view.lines.histogram) > 6 * 576**2 * 0.99
    scan = count_frames(open_sectors(raw).read(range(6)), Thresholds(report.background, report.xray))
    for k in (0, 4):
        view.frames.index = k
        assert marked(view) == scan.indices[scan.offsets[k] : scan.offsets[k + 1]].tolist()
        assert (
            view.frames.names[k] == f"frame {k} (sy={k // 3}, sx={k % 3})"
            and f"{scan.counts[k]:,} electrons in" in view.frames.told
        )
    assert len(view.frames.names) == min(6, SHOWN) and view.frames.picture.startswith(b"\x89PNG")


def test_a_dragged_line_fills_the_form_and_moves_the_marks(raw: Path, form: StepForm) -> None:
    view = ThresholdsView(form)
    before, xray = marked(view), view.lines.xray
    view.lines.background = 60.0
    assert fields(form) == ["60.0", str(xray)] and form.call().values["background"] == 60.0
    assert set(marked(view)) < set(before)
    view.lines.xray = 90.0
    assert fields(form) == ["60.0", "90.0"]
    assert "The X-ray limit 90.0 cuts away" in view.frames.told
    v = open_sectors(raw).read([0])[0]
    assert np.frombuffer(view.frames.left_out, "<u4").tolist() == np.flatnonzero(v >= 90).tolist()
    view.again.click()
    assert fields(form) == [None, None] and marked(view) == before and view.lines.xray == xray


def test_typed_numbers_move_the_lines_and_stay_as_they_were_typed(form: StepForm) -> None:
    view = ThresholdsView(form)
    form.fields["background"].entry.value = "30.125"
    assert view.lines.background != 30.12  # one of two
    form.fields["xray"].entry.value = "400."
    assert (view.lines.background, view.lines.xray) == (30.12, 400.0) and fields(form) == ["30.125", "400."]
    form.fields["xray"].entry.value = "4"
    assert "0 <= background < xray" in view.frames.told and marked(view) == []
    for no_number in ("nan", "inf", "many"):
        form.fields["xray"].entry.value = no_number
        assert view.lines.xray == 4.0


def test_thresholds_that_are_given_are_where_the_lines_begin(raw: Path, tmp_path: Path) -> None:
    view = ThresholdsView(StepForm(emkit.count_scan, source=raw, out=tmp_path / "counted", background=33.0, xray=500.0))
    assert (view.lines.background, view.lines.xray) == (33.0, 500.0) and "Estimated: background 2" in view.message.value


def test_half_rows_are_brought_to_one_level_as_the_step_does(raw: Path, tmp_path: Path) -> None:
    form = StepForm(emkit.count_scan, source=raw, out=tmp_path / "counted", background=26.0, xray=500.0, row_dark="median")
    view = ThresholdsView(form)
    emkit.count_scan(raw, out=tmp_path / "counted", background=26.0, xray=500.0, row_dark="median")
    assert marked(view) == read_counted(tmp_path / "counted").frame(0, 0).ravel().nonzero()[0].tolist()


def test_what_cannot_be_read_is_told_and_can_be_mended(raw: Path, form: StepForm, tmp_path: Path) -> None:
    (tmp_path / "<b>empty").mkdir()
    form.fields["source"].fill(tmp_path / "<b>empty")
    view = ThresholdsView(form)
    assert "&lt;b&gt;empty holds no raw frames" in view.message.value and view.lines.layout.display == "none"
    form.fields["source"].fill(raw)
    view.again.click()
    assert view.lines.layout.display is None and len(marked(view)) > 0
    form.fields["samples"].fill(3)
    assert "other frames by now" in view.message.value
    view.again.click()
    assert "other frames by now" not in view.message.value and len(view.frames.names) == 3
