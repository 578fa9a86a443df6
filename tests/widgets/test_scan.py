"""The view of a counted scan shows the images that `emkit.count` makes for its detectors, and names what is not whole."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from emkit_widgets.form import StepForm
from emkit_widgets.scan import NAMED, Picture, ScanView, scan_of
from PIL import Image

import emkit
from emkit import count
from emkit.count import CountedScan
from emkit.errors import PathError, ResourceError
from emkit.io.counted import write_counted

SCAN, FRAME = (6, 5), (40, 60)


def scan(complete: np.ndarray | None = None) -> CountedScan:
    """A beam around (20, 30), with electrons beside it."""
    random = np.random.default_rng(0)
    counts = random.integers(40, 80, np.prod(SCAN))
    at = np.clip(np.rint(random.normal((20, 30), (5, 9), (counts.sum(), 2))), 0, (39, 59)).astype(np.int64)
    indices = np.concatenate([np.sort(part) for part in np.split(at @ (60, 1), np.cumsum(counts)[:-1])])
    return CountedScan(np.concatenate([[0], np.cumsum(counts)]), indices.astype(np.uint32), SCAN, FRAME, complete=complete)


@pytest.fixture
def view(tmp_path: Path) -> ScanView:
    write_counted(scan(), tmp_path / "counted")
    return ScanView(tmp_path / "counted", "30 of 30 frames are whole")


def shown(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture.image.value))).astype(float)


def grey(image: np.ndarray) -> np.ndarray:
    return np.asarray((image - image.min()) * (255 / (image.max() - image.min())))


def test_images_are_those_of_the_detectors(view: ScanView) -> None:
    counted, at = scan(), view.detector.centre
    assert np.hypot(*(np.array(at) - (20, 30))) < 2
    view.detector.disk_px, view.detector.outer_px = 7.0, 18.0
    view.detector.inner_px = 9.0
    disk = count.disk(FRAME, at, 7.0)
    for kind, image in {
        "sum": counted.sum("frame"),
        "bright-field": count.virtual_image(counted, disk),
        "dark-field": count.virtual_image(counted, count.annulus(FRAME, at, 9.0, 18.0)),
        "phase": count.differential_phase_contrast(counted, disk).phase,
    }.items():
        np.testing.assert_allclose(shown(view.images[kind]), grey(image), atol=1)
    assert f"{counted.sum('frame').max()} electrons" in view.images["sum"].caption.value


def test_what_has_not_changed_is_not_made_anew(view: ScanView) -> None:
    dark, bright = view.images["dark-field"].image, view.images["bright-field"].image
    before = dark.value, bright.value
    view.detector.disk_px = 5.0
    assert dark.value is before[0] and bright.value != before[1]
    view.detector.centre = (18.0, 33.0)
    assert dark.value != before[0]


def test_the_phase_is_made_when_nothing_is_dragged_any_more(view: ScanView) -> None:
    phase, bright = view.images["phase"].image, view.images["bright-field"].image
    before = phase.value, bright.value
    view.detector.moving = True
    view.detector.disk_px = 5.0
    assert phase.value is before[0] and bright.value != before[1]
    view.detector.moving = False
    assert phase.value != before[0]


def test_the_form_that_keeps_an_image_follows_the_detectors(view: ScanView) -> None:
    view.detector.disk_px, view.detector.centre = 6.5, (19.04, 31.0)
    call = view.keep.call()
    assert (call.values["outer_px"], call.values["inner_px"], call.values["centre"]) == (6.5, None, (19.0, 31.0))
    view.keep.fields["detector"].fill("dark-field")
    call = view.keep.call()
    assert (call.values["inner_px"], call.values["outer_px"]) == (view.detector.inner_px, view.detector.outer_px)


def test_what_is_not_whole_is_named_with_its_place(tmp_path: Path) -> None:
    complete = np.ones(30, bool)
    complete[[7, 29]] = False
    write_counted(counted := scan(complete), tmp_path / "counted.zarr")
    view = ScanView(tmp_path / "counted.zarr")
    assert (shown(view.images["lost"]) == 255 * ~complete.reshape(SCAN)).all()
    losses = view.children[-1].value
    assert "28 of 30 frames are whole" in losses and "2 frames are not whole" in losses
    assert f"frame 7 (sy=1, sx=2): {counted.counts[7]} electrons" in losses and "frame 29 (sy=5, sx=4)" in losses
    assert "were probably lost to others" in losses
    told = ScanView(tmp_path / "counted.zarr", "27 whole\n<i>2 partial</i>").children[-1].value
    assert "27 whole<br>&lt;i&gt;2 partial" in told


def test_many_that_are_not_whole_are_counted(tmp_path: Path) -> None:
    many = NAMED + 20
    empty = CountedScan(np.zeros(many + 1, np.int64), np.zeros(0, np.uint32), (1, many), FRAME, complete=np.zeros(many, bool))
    write_counted(empty, tmp_path / "counted")
    losses = ScanView(tmp_path / "counted").children[-1].value
    assert "and 20 more" in losses and "frame 3 (sy=0, sx=3): nothing" in losses


def test_what_stands_at_the_output_is_shown_before_any_run(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    form = StepForm(emkit.count_scan, source=tmp_path / "raw", out=tmp_path / "counted")
    assert "Shown when the scan is counted" in scan_of(form).children[0].value
    write_counted(scan(), tmp_path / "counted")
    note, view = scan_of(form).children
    assert "as it stands" in note.value and view.scan.events == scan().events
    (tmp_path / "counted" / "zarr.json").unlink()
    assert "cannot be read as a counted scan" in scan_of(form).children[0].value


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_counted(scan(), tmp_path / "counted")
    monkeypatch.setattr("emkit_widgets.scan.MOST_EVENTS", 1000)
    with pytest.raises(ResourceError, match="needed: at most 1,000"):
        ScanView(tmp_path / "counted")


def test_no_scan(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="cannot be read as a counted scan"):
        ScanView(tmp_path)
