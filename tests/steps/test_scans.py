"""Steps on scans: a reference from raw frames, images of virtual detectors, other formats."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from emkit.count import CountedScan, annulus, estimate_centre, virtual_image
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.counted import counted_header, read_counted, write_counted
from emkit.io.sectors import write_sectors
from emkit.steps.exchanging import convert_scan
from emkit.steps.imaging import Detector
from emkit.steps.imaging import virtual_image as image_step
from emkit.steps.referencing import build_reference


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    at = np.clip(np.rint(random.normal((20, 30), 6, (4 * 5 * 60, 2))), 0, (39, 59)).astype(int)
    indices = (at[:, 0] * 60 + at[:, 1]).reshape(20, 60)
    indices.sort(axis=1)
    counted = CountedScan(np.arange(0, 1201, 60), indices.ravel().astype(np.uint32), (4, 5), (40, 60))
    write_counted(counted, tmp_path / "scan.zarr")
    return tmp_path / "scan.zarr"


def test_a_reference_from_raw_frames(tmp_path: Path) -> None:
    (raw := tmp_path / "raw").mkdir()
    random = np.random.default_rng(0)
    dark = 20 + random.random((576, 576))
    frames = {k: np.rint(dark + 2 * random.standard_normal((576, 576))).astype(np.uint16) for k in range(12)}
    for frame in frames.values():
        frame[5, 5] = 900
    write_sectors(raw, frames, (3, 4), "a")
    report = build_reference(raw, out=tmp_path / "reference")
    assert report.frames == 12 and np.load(tmp_path / "reference/bad.npy")[5, 5]
    assert np.abs(np.load(tmp_path / "reference/dark.npy") - dark).mean() < 0.7
    assert report.mean_adu == pytest.approx(20.5, abs=0.1) and report.noise_adu == pytest.approx(2, abs=0.3)
    for file in raw.glob("*module1*"):
        file.unlink()
    with pytest.raises(DataError, match="0 whole frames"):
        build_reference(raw, out=tmp_path / "other")


@pytest.mark.parametrize("detector", ["sum", "bright-field", "dark-field", "phase"])
def test_images(scan: Path, tmp_path: Path, detector: Detector) -> None:
    report = image_step(scan, out=tmp_path / "image.tif", detector=detector, inner_px=8.0, outer_px=15.0)
    image, counted = tifffile.imread(tmp_path / "image.tif"), read_counted(scan)
    assert image.shape == (4, 5) and image.dtype == np.float32 and report.most == image.max()
    if detector in ("bright-field", "dark-field"):
        mask = annulus((40, 60), estimate_centre(counted), 8 if detector == "dark-field" else 0, 15)
        assert (image == virtual_image(counted, mask)).all()
    if detector == "sum":
        assert (image == 60).all()
    assert np.hypot(*(np.array(report.centre) - (20, 30))) < 3


def test_a_detector_of_any_form(scan: Path, tmp_path: Path) -> None:
    weights = np.linspace(-1, 2, 2400).reshape(40, 60)
    np.save(tmp_path / "mask.npy", weights)
    image_step(scan, out=tmp_path / "image.tif", detector="mask", mask=tmp_path / "mask.npy")
    assert (tifffile.imread(tmp_path / "image.tif") == virtual_image(read_counted(scan), weights).astype(np.float32)).all()
    with pytest.raises(ParameterError, match="give both, or neither"):
        image_step(scan, out=tmp_path / "other.tif", mask=tmp_path / "mask.npy")
    np.save(tmp_path / "mask.npy", weights[1:])
    with pytest.raises(ParameterError, match=r"has the shape \(39, 60\), but frames are \(40, 60\)"):
        image_step(scan, out=tmp_path / "other.tif", detector="mask", mask=tmp_path / "mask.npy")


@pytest.mark.parametrize("detector", ["dark-field", "phase"])
def test_lines_may_be_read_one_by_one(scan: Path, tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    image_step(scan, out=tmp_path / "at once.tif", detector=detector)
    monkeypatch.setattr("emkit.steps.imaging.PART", 1)  # workers are forked: they see it
    image_step(scan, out=tmp_path / "lines.tif", detector=detector)
    assert (tmp_path / "lines.tif").read_bytes() == (tmp_path / "at once.tif").read_bytes()


def test_other_formats(scan: Path, tmp_path: Path) -> None:
    report = convert_scan(scan, out=tmp_path / "scan.h5", flyback_columns=1, bin_scan=2, bin_frame=4)
    dense = read_counted(scan).dense()[:, :4].reshape(2, 2, 2, 2, 10, 4, 15, 4).sum((1, 3, 5, 7))
    assert report.scan_shape == (2, 2) and report.electrons == dense.sum()
    convert_scan(tmp_path / "scan.h5", out=tmp_path / "back")
    assert (read_counted(tmp_path / "back").dense() == dense).all()
    assert counted_header(tmp_path / "back").events == dense.sum() <= counted_header(tmp_path / "scan.h5").events


def test_what_cannot_be(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="a line has 5 positions"):
        convert_scan(scan, out=tmp_path / "a", flyback_columns=5)
    with pytest.raises(ParameterError, match=r"ends in \.tif"):
        image_step(scan, out=tmp_path / "image.png")
    with pytest.raises(ParameterError, match="not less than the outer radius"):
        image_step(scan, out=tmp_path / "image.tif", detector="dark-field", inner_px=50.0)
    with pytest.raises(PathError, match="cannot be read as a counted scan"):
        convert_scan(tmp_path, out=tmp_path.parent / "b")
