"""A scan from raw sectors to counted electrons: as a function, and by the command line, the same bytes."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from emkit import provenance
from emkit.count import Thresholds, correct_rows, count_frames
from emkit.errors import DataError, ParameterError
from emkit.io.counted import read_counted
from emkit.io.sectors import open_sectors
from emkit.run.drive import execute
from emkit.run.place import Place
from emkit.run.step import bind
from emkit.steps import counting
from emkit.steps.counting import count_scan
from emkit.steps.simulating_scans import DARK, TRUTH, make_scan_phantom

JUDGE = Path(__file__).parents[1] / "judges" / "validate_crate.py"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan") / "raw"
    make_scan_phantom(out=folder, scan_shape=(5, 16), occupancy=0.002)
    return folder


def test_a_phantom_is_counted(raw: Path, tmp_path: Path) -> None:
    report = count_scan(raw, out=tmp_path / "counted")
    scan = read_counted(tmp_path / "counted")
    true = sum(int(np.load(file)["counts"].sum()) for file in (raw / TRUTH).iterdir())
    assert scan.scan_shape == report.scan_shape == (5, 16) and scan.complete is None and report.whole == report.frames == 80
    assert report.electrons == scan.events == pytest.approx(true, rel=0.06)
    assert report.electrons / (1 - report.lost) == pytest.approx(true, rel=0.03)
    frames, thresholds = open_sectors(raw).read(range(80)), Thresholds(report.background, report.xray)
    assert (count_frames(frames, thresholds).indices == scan.indices).all()
    subprocess.run([sys.executable, JUDGE, tmp_path / "counted"], check=True)


def test_the_command_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    count_scan(raw, out=tmp_path / "a", dark=raw / DARK)
    code = "import sys; from emkit.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "count-scan", str(raw), "-o", str(tmp_path / "b"), "--dark", str(raw / DARK)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "electrons at 5 x 16 positions" in told and "80 of 80 frames are whole" in told
    assert provenance.digest(tmp_path / "a") == provenance.digest(tmp_path / "b")


def test_the_same_bytes_by_any_number_of_workers(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FRAMES", 16)
    digests = set()
    for number, on in enumerate(("serial", "local:1", "local:3")):
        call = bind(count_scan, raw, out=tmp_path / str(number), background=28.5, xray=1500.0)
        execute(call, on=Place.parse(on))
        digests.add((tmp_path / str(number) / "manifest.sha256").read_text())
    assert len(digests) == 1
    assert sorted(path.name for path in (tmp_path / "0").iterdir() if path.is_dir()) == ["indices", "offsets", "positions"]


@pytest.mark.parametrize("by", ["mean", "median"])
def test_rows_are_brought_to_one_level(raw: Path, tmp_path: Path, by: Literal["mean", "median"]) -> None:
    report = count_scan(raw, out=tmp_path / "counted", row_dark=by, samples=20)
    frames, scan = open_sectors(raw).read(range(80)), read_counted(tmp_path / "counted")
    assert scan.thresholds and scan.thresholds.sample and scan.thresholds.background == report.background
    level = scan.thresholds.sample.noise_mean
    assert (count_frames(correct_rows(frames, level, by), scan.thresholds).indices == scan.indices).all()


def test_frames_that_are_not_whole_are_kept_and_flagged(raw: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "raw").mkdir()
    for file in raw.glob("*.data"):
        if file.name != "data0000000064_module3.data":
            (folder / file.name).symlink_to(file)
    report = count_scan(folder, out=tmp_path / "counted")
    scan = read_counted(tmp_path / "counted")
    assert report.whole == 64 and "lacks sector 3" in report.told
    assert scan.complete is not None and scan.complete.tolist() == [True] * 64 + [False] * 16
    assert scan.counts[64:].min() > 0 and scan.indices[scan.offsets[64] :].max() < 432 * 576


def test_thresholds_may_be_given(raw: Path, tmp_path: Path) -> None:
    report = count_scan(raw, out=tmp_path / "a", background=28.5, xray=1500.0, ties="drop")
    assert (report.background, report.xray) == (28.5, 1500.0)
    with pytest.raises(ParameterError, match="give both"):
        count_scan(raw, out=tmp_path / "b", background=28.5)
    with pytest.raises(ParameterError, match="0 <= background < xray"):
        count_scan(raw, out=tmp_path / "b", background=28.5, xray=3.0)


def test_a_limit_below_the_electrons_is_told_with_the_histogram(raw: Path, tmp_path: Path) -> None:
    report = count_scan(raw, out=tmp_path / "a", background=28.5, xray=60.0, samples=10)
    assert "X-ray limit 60.0 cuts away" in str(report) and "█" in report.warning and "|" in report.warning
    assert not count_scan(raw, out=tmp_path / "b", background=28.5, xray=2000.0, samples=10).warning


def test_a_dark_of_another_detector(raw: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dark.npy", np.zeros((4, 4)))
    with pytest.raises(ParameterError, match=r"found the shape \(4, 4\), but frames are \(576, 576\)"):
        count_scan(raw, out=tmp_path / "a", dark=tmp_path / "dark.npy")
    (tmp_path / "dark.npy").write_text("none")
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        count_scan(raw, out=tmp_path / "a", dark=tmp_path / "dark.npy")
