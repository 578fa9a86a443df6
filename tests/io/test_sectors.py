"""Raw frames are found wherever their parts lie, and what is missing is told with its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emkit.errors import DataError, EmkitError, ParameterError, PathError
from emkit.io.sectors import HEADER, open_sectors, write_sectors

FRAMES = np.random.default_rng(0).integers(0, 4000, (6, 576, 576)).astype(np.uint16)
SHAPE = (2, 3)


def header(number: int, scan: int = 1, shape: tuple[int, int] = SHAPE) -> bytes:
    y, x = divmod(number, shape[1])
    return np.array([(scan, number, shape[1], shape[0], x, y)], HEADER).tobytes()


def part(frame: NDArray[Any], version: int, sector: int) -> bytes:
    span = slice(sector * 144, (sector + 1) * 144)
    return (frame[:, span] if version == 4 else frame[span]).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six frames in sectors, some in one file and some in another, not in order."""
    for name, numbers in (("b", (4, 1)), ("a", (0, 5, 2, 3))):
        write_sectors(tmp_path, {k: FRAMES[k] for k in numbers}, SHAPE, name)
    return tmp_path


def test_sectors_meet(folder: Path) -> None:
    raw = open_sectors(folder)
    assert (raw.version, raw.scan_shape, raw.frame_shape) == (5, SHAPE, (576, 576)) and raw.complete.all()
    assert (raw.read(range(6)) == FRAMES).all() and (raw.read([4, 0]) == FRAMES[[4, 0]]).all()
    assert raw.report() == "6 of 6 frames are whole, 0 partial, 0 missing"


@pytest.mark.parametrize("version", [3, 4])
def test_other_headers(tmp_path: Path, version: Any) -> None:
    for sector in range(4 if version == 4 else 1):
        content = (header(k) + (part(FRAMES[k], 4, sector) if version == 4 else FRAMES[k].tobytes()) for k in (3, 0, 1, 2, 5, 4))
        (tmp_path / f"x_module{sector}.data" if version == 4 else tmp_path / "x.data").write_bytes(b"".join(content))
    raw = open_sectors(tmp_path, version if version == 4 else None)
    assert raw.version == version and (raw.read(range(6)) == FRAMES).all()


def test_blocks_of_images(tmp_path: Path) -> None:
    images = FRAMES[:, :20, :30]
    for name, numbers in (("1", (0, 1, 2, 4)), ("2", (3, 5))):
        head = np.zeros(1024, "<u4")
        head[: 10 + len(numbers)] = (len(numbers), 20, 30, 1, 0, 0, 0, 0, 0, 0, *(k + 1 for k in numbers))
        (tmp_path / f"{name}.data").write_bytes(head.tobytes() + images[list(numbers)].tobytes())
    raw = open_sectors(tmp_path, 1, SHAPE)
    assert raw.frame_shape == (20, 30) and (raw.read(range(6)) == images).all()
    with pytest.raises(ParameterError, match="scan_shape is missing: version 1 does not tell it. Found 6 frames"):
        open_sectors(tmp_path, 1)


def test_the_second_version(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(np.uint32(2).tobytes() + FRAMES[2:].tobytes())
    raw = open_sectors(tmp_path, 2, SHAPE)
    assert (raw.read(range(2, 6)) == FRAMES[2:]).all() and raw.found.tolist() == [0, 0, 1, 1, 1, 1]


def test_what_is_missing_is_told_with_its_place(folder: Path) -> None:
    (folder / "b_module2.data").unlink()
    whole = (folder / "a_module1.data").read_bytes()
    (folder / "a_module1.data").write_bytes(whole[:-1000])
    raw = open_sectors(folder)
    assert raw.found.tolist() == [15, 11, 15, 13, 11, 15]
    told = raw.report()
    assert told.startswith("3 of 6 frames are whole, 3 partial, 0 missing")
    assert "frame 1 (sy=0, sx=1) lacks sector 2" in told and "frame 3 (sy=1, sx=0) lacks sector 1" in told
    assert "a_module1.data ends within a block: 164904 bytes of 165904 are cut off" in told
    assert (raw.read([1])[0, 288:432] == 0).all() and (raw.read([1])[0, :288] == FRAMES[1, :288]).all()


def test_what_came_twice_counts_once(folder: Path) -> None:
    write_sectors(folder, {2: FRAMES[0], 9: FRAMES[1]}, SHAPE, "z")
    raw = open_sectors(folder)
    assert raw.duplicates == 4 and raw.beyond == 4 and (raw.read(range(6)) == FRAMES).all()
    assert "4 parts came twice" in raw.report() and "beyond the scan's last" in raw.report()


def test_whole_frames_that_are_missing(folder: Path) -> None:
    for file in folder.glob("b_*"):
        file.unlink()
    assert "frame 1 (sy=0, sx=1)" in open_sectors(folder).report()


@pytest.mark.parametrize(
    ("spoil", "refusal", "said"),
    [
        (lambda folder: [file.unlink() for file in folder.iterdir()], PathError, "holds no raw frames"),
        (lambda folder: (folder / "more_module7.data").touch(), PathError, "does not tell which sector"),
        (
            lambda folder: (folder / "c_module0.data").write_bytes(header(0, scan=2) + part(FRAMES[0], 5, 0)),
            DataError,
            "scans 1, 2",
        ),
        (
            lambda folder: (folder / "c_module0.data").write_bytes(header(0, shape=(3, 3)) + part(FRAMES[0], 5, 0)),
            DataError,
            "shapes",
        ),
        (
            lambda folder: [file.write_bytes(b"short") for file in folder.iterdir()],
            DataError,
            "hold no whole frame.*5 bytes of 165904",
        ),
    ],
)
def test_what_is_no_scan(folder: Path, spoil: Any, refusal: type[EmkitError], said: str) -> None:
    spoil(folder)
    with pytest.raises(refusal, match=said):
        open_sectors(folder)


def test_a_scan_shape_that_does_not_fit(folder: Path) -> None:
    with pytest.raises(ParameterError, match=r"found \(2, 4\) = 8 positions, but the headers say \(2, 3\) = 6"):
        open_sectors(folder, scan_shape=(2, 4))
    assert open_sectors(folder, scan_shape=(3, 2)).scan_shape == (3, 2)
