"""Scans that are not what they should be: one message each, or a warning with the result, on the command line as everywhere."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from emkit.cli import main
from emkit.io.counted import read_counted, write_counted
from emkit.io.sectors import write_sectors
from emkit.model import CountedScan
from emkit.phantoms import ScanPhantom

FRAMES = {k: ScanPhantom((2, 2)).frame(k)[0] for k in range(4)}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (folder := tmp_path / "raw").mkdir()
    write_sectors(folder, FRAMES, (2, 2), "a")
    return folder


def save(path: Path, dark: float, shape: tuple[int, int] = (576, 576)) -> None:
    np.save(path.parent / "dark.npy", np.full(shape, dark))


def blank(path: Path) -> None:
    write_sectors(path, {k: np.zeros((576, 576), np.uint16) for k in range(4)}, (2, 2), "a")


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {  # what is done to the files, what is asked for, what is said
    "scan shape": (lambda _: None, "--scan-shape 3 4", "found (3, 4) = 12 positions, but the headers say (2, 2) = 4"),
    "sector file": (
        lambda raw: (raw / "a_module2.data").unlink(),
        "",
        "no frame has sector 2: look for the files with module2 in their names",
    ),
    "dark of another shape": (
        lambda raw: save(raw, 3, (576, 144)),
        "--dark dark.npy",
        "found the shape (576, 144), but frames are (576, 576)",
    ),
    "negative dark": (
        lambda raw: save(raw, -1.0),
        "--dark dark.npy",
        "331776 pixels are not usable, the first at (ky=0, kx=0) with -1.0",
    ),
    "dark of no numbers": (lambda raw: save(raw, np.nan), "--dark dark.npy", "with nan; needed: finite numbers of 0 or more"),
    "thresholds inverted": (
        lambda _: None,
        "--background 60 --xray 28",
        "found background=60 and xray=28; needed: 0 <= background < xray",
    ),
    "thresholds NaN": (lambda _: None, "--background nan --xray 60", "background: found 'nan', needed a finite number"),
    "blank": (blank, "", "all 1327104 pixels looked at are 0; the camera was blank"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_message(
    raw: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, options, said = REFUSED[case]
    spoil(raw)
    monkeypatch.chdir(raw.parent)
    assert main(["count-scan", "raw", "-o", "out", *options.split()]) == 3
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and told.count("emkit count-scan:") == 1
    assert not (raw.parent / "out").exists()


TOLD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated": (
        lambda raw: (raw / "a_module1.data").write_bytes((raw / "a_module1.data").read_bytes()[:-1000]),
        "",
        "frame 3 (sy=1, sx=1) lacks sector 1; a_module1.data ends within a block: 164904 bytes of 165904 are cut off",
    ),
    "X-ray limit below the electrons": (lambda _: None, "--background 28 --xray 60", "| is the X-ray limit"),
    "blank, thresholds given": (blank, "--background 28 --xray 60", "the camera was blank"),
}


@pytest.mark.parametrize("case", TOLD)
def test_it_is_counted_and_told(raw: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, options, said = TOLD[case]
    spoil(raw)
    monkeypatch.chdir(raw.parent)
    assert main(["count-scan", "raw", "-o", "out", *options.split()]) == 0
    assert said in capsys.readouterr().out and len(read_counted(raw.parent / "out")) == 4


def test_a_scan_of_one_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    write_sectors(tmp_path / "raw", {0: FRAMES[0]}, (1, 1), "a")
    monkeypatch.chdir(tmp_path)
    assert main(["count-scan", "raw", "-o", "out"]) == 0
    assert read_counted(Path("out")).shape == (1, 1, 576, 576) and read_counted(Path("out")).events > 1000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small and real, with nothing free. Skipped where nobody may mount one."""
    (place := tmp_path / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16000000", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here (that takes root): {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("name", ["out.h5", "out.emd", "out", "csr"])
def test_a_disk_that_fills_up_while_a_scan_is_written(tmp_path: Path, disk: Path, name: str) -> None:
    """Past the gate, when others have taken the room: the same error from every format."""
    from emkit.steps.exchanging import rewrite

    random = np.random.default_rng(0)
    frames = np.sort(random.integers(0, 10_000, (100, 2000), np.uint32), axis=1)
    write_counted(CountedScan(np.arange(101) * 2000, frames.ravel(), (10, 10), (100, 100)), tmp_path / "scan")
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - 100_000)
    target = {"out.h5": "stempy", "out.emd": "py4DSTEM", "out": "zarr", "csr": "LiberTEM"}[name]
    with pytest.raises(OSError, match="No space left on device"):
        rewrite(tmp_path / "scan", disk / name, target, 0, 1, 1)
