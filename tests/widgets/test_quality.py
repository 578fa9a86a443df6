"""The quality view shows what the report says, and runs the step again without what a person leaves out."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from emkit_widgets.form import StepForm
from emkit_widgets.pairs import PairTable
from emkit_widgets.quality import QualityView, ShownSections, suspects
from PIL import Image

import emkit
from emkit.align import read_alignment
from emkit.errors import PathError
from emkit.io.omezarr import create_volume

BAD = 3


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sections of which one shows the wrong place, and the volume made of them."""
    folder = tmp_path_factory.mktemp("quality")
    emkit.make_phantom(out=folder / "raw", sections=6, size_px=256, bad=(BAD,))
    emkit.align_sections(folder / "raw", out=folder / "a.ome.zarr", voxel_size_nm=(45, 4.6, 4.6))
    return folder


@pytest.fixture
def form(aligned: Path) -> StepForm:
    return StepForm(emkit.align_sections, source=aligned / "raw", out=aligned / "a.ome.zarr", voxel_size_nm=(45, 4.6, 4.6))


def signal_of(view: QualityView) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(view.signal.value)))


def test_it_shows_the_report(aligned: Path) -> None:
    view, report = QualityView(aligned / "a.ome.zarr"), read_alignment(aligned / "a.ome.zarr")
    assert view.pairs.threshold == report.snr_threshold and view.leaving is None
    told = [(pair["fixed"], pair["moving"], pair["flagged"], tuple(pair["reasons"])) for pair in view.pairs.pairs]
    assert told == [(pair.fixed, pair.moving, pair.flagged, pair.reasons) for pair in report.pairs]
    assert view.pairs.pairs[0]["names"] == ["section_00.tif", "section_01.tif"]
    assert suspects(report) == [BAD] and f"section {BAD} (section_0{BAD}.tif) matches none" in view.children[0].value


def test_it_opens_on_the_worst_pair_of_neighbours(aligned: Path) -> None:
    view = QualityView(aligned / "a.ome.zarr")
    pair = view.report.pairs[view.pairs.selected]
    assert pair.flagged and BAD in (pair.fixed, pair.moving) and pair.moving - pair.fixed == 1


def test_a_selected_pair_is_compared(aligned: Path) -> None:
    view = QualityView(aligned / "a.ome.zarr")
    strangers = signal_of(view)
    view.pairs.selected = 0
    assert (view.sections.index, view.sections.other, view.sections.mode) == (0, 1, "blink")
    neighbours, middle = signal_of(view), np.array(signal_of(view).shape) // 2
    peak = np.unravel_index(neighbours.argmax(), neighbours.shape)
    assert np.abs(peak - middle).max() <= 3 and neighbours.max() == 255 > strangers.max()


def test_sections_come_from_the_level_that_fits_a_screen(aligned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ShownSections(aligned / "a.ome.zarr")
    assert len(whole) == 6 and whole[2].shape == (256, 256) and whole.pixel_nm == 4.6
    monkeypatch.setattr("emkit_widgets.quality.SCREEN_PX", 128)
    half = ShownSections(aligned / "a.ome.zarr")
    assert len(half) == 6 and half[5].shape == (128, 128) and half.pixel_nm == 9.2


def test_leaving_a_section_out_fills_the_form_and_runs(aligned: Path, form: StepForm) -> None:
    place = form.then(lambda ran: QualityView(ran["out"], form))
    form.overwrite.value = True
    form.run_now()
    leaving = place.children[0].leaving
    assert leaving.again.disabled and leaving.again.description == "Run again"
    switch = leaving.switches[leaving.offered.index(BAD)]
    switch.value = True
    assert leaving.again.description == f"Run again without {BAD}" and not leaving.again.disabled
    place.children[0].pairs.selected = 0
    assert [s.value for s in leaving.switches] == [False, False] and leaving.sections == {BAD}
    leaving.again.click()
    form.told.result(60)
    assert form.fields["exclude"].entry.value == str(BAD)
    report = place.children[0].report
    assert [section.z for section in report.sections if section.excluded] == [BAD] and report.flagged == ()
    assert f"left out: {BAD}" in place.children[0].children[0].value


def test_a_volume_without_a_report_is_refused(tmp_path: Path) -> None:
    create_volume(tmp_path / "a.ome.zarr", shape=(2, 64, 64), dtype="uint8", voxel_size_nm=(45, 4.6, 4.6))
    with pytest.raises(PathError, match="alignment.json"):
        QualityView(tmp_path / "a.ome.zarr")


def test_no_pairs_are_shown_as_none() -> None:
    table = PairTable()
    table.show([], 5.0)
    assert table.selected == 0
