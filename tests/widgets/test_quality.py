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
from emkit.align.remedies import Remedies
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
    assert view.pairs.threshold == report.snr_threshold and view.remedies is None
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


def test_verdicts_stand_with_every_statistic(aligned: Path) -> None:
    view = QualityView(aligned / "a.ome.zarr")
    assert view.verdicts.selected == BAD and view.pairs.pairs[view.pairs.selected]["moving"] == BAD
    assert [row["verdict"] for row in view.verdicts.rows] == ["displaced region" if z == BAD else "good" for z in range(6)]
    titles = [column["title"] for column in view.verdicts.columns]
    assert {"SNR", "Whole SNR", "Inliers", "Residual", "Peak", "NCC", "Fine NCC", "Sharpness", "Contrast"} <= set(titles)
    assert view.verdicts.rows[0]["values"][titles.index("SNR")] == "–"
    assert titles.index("Lost") in view.verdicts.rows[BAD]["marked"] and view.verdicts.rows[1]["marked"] == []


def test_a_pair_and_a_section_are_selected_together(aligned: Path) -> None:
    view = QualityView(aligned / "a.ome.zarr")
    view.verdicts.selected = 1
    assert (view.sections.index, view.sections.other) == (0, 1)
    view.pairs.selected = next(k for k, pair in enumerate(view.pairs.pairs) if (pair["fixed"], pair["moving"]) == (4, 5))
    assert view.verdicts.selected == 5 and (view.sections.index, view.sections.other) == (4, 5)


def test_each_remedy_is_a_word_and_can_be_taken_back(aligned: Path, form: StepForm) -> None:
    remedies = QualityView(aligned / "a.ome.zarr", form).remedies
    assert remedies is not None
    remedies.offer(2)
    remedies.choices["window"].value = "64"
    remedies.choices["whitening"].value = "0.35"
    remedies.choices["clobber"].value = "4"
    remedies.choices["search"].value = dict(remedies.choices["search"].options)["all"]
    remedies.flip.value = True
    remedies.swap_with(4)
    remedies.placed(1, 2, [[10, 20, 12, 25], [200, 40, 203, 47], [90, 180, 95, 186]])
    assert remedies.words == [
        "2:window=64", "2:whitening=0.35", "2:clobber=4", "2:search=363", "2:flip", "2:swap=4",
        "1-2:points=10.0/20.0@12.0/25.0+200.0/40.0@203.0/47.0+90.0/180.0@95.0/186.0",
    ]  # fmt: skip
    assert Remedies.of(remedies.words, 6).of_pair(1, 2).window_px == 64  # the step understands them
    remedies.offer(3)
    assert remedies.choices["window"].value == "" and not remedies.flip.value
    remedies.offer(2)
    assert remedies.choices["window"].value == "64" and remedies.flip.value
    for chip in remedies.asked.children[1:]:
        chip.click()
    assert remedies.words == [] and remedies.again.disabled and not remedies.flip.value


def test_skipping_a_section_fills_the_form_and_runs(aligned: Path, form: StepForm) -> None:
    place = form.then(lambda ran: QualityView(ran["out"], form))
    form.overwrite.value = True
    form.run_now()
    remedies = place.children[0].remedies
    assert remedies.again.disabled and remedies.again.description == "Run again"
    assert "displaced region" in remedies.advice.value and "emkit-helpful" in remedies.skip._dom_classes
    remedies.press("s")
    assert remedies.again.description == "Run again with 1 remedy" and not remedies.again.disabled
    place.children[0].verdicts.selected = 0
    assert not remedies.skip.value and remedies.skipped == {BAD}
    remedies.again.click()
    form.told.result(60)
    assert form.fields["exclude"].entry.value == str(BAD)
    report = place.children[0].report
    assert [section.z for section in report.sections if section.excluded] == [BAD] and report.flagged == ()
    assert f"left out: {BAD}" in place.children[0].children[0].value
    assert place.children[0].verdicts.rows[BAD]["verdict"] == "displaced region · skipped"  # it is judged all the same


def test_a_volume_without_a_report_is_refused(tmp_path: Path) -> None:
    create_volume(tmp_path / "a.ome.zarr", shape=(2, 64, 64), dtype="uint8", voxel_size_nm=(45, 4.6, 4.6))
    with pytest.raises(PathError, match="alignment.json"):
        QualityView(tmp_path / "a.ome.zarr")


def test_no_pairs_are_shown_as_none() -> None:
    table = PairTable()
    table.show([], 5.0)
    assert table.selected == 0
