"""Counted scans come back as they were written, and as stempy's own files have them."""

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import h5py
import numpy as np
import pytest

from emkit.errors import DataError, PathError
from emkit.io.counted import read_counted, write_counted
from emkit.model import CountedScan


def scan(each: int = 1) -> CountedScan:
    random = np.random.default_rng(each)
    counts = random.integers(0, 30, 12 * each)
    frames = [np.sort(random.choice(70, n, replace=False)) for n in counts]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return CountedScan(offsets, np.concatenate(frames).astype(np.uint32), (3, 4), (7, 10), np.repeat(np.arange(12), each))


def equal(a: CountedScan, b: CountedScan) -> bool:
    same = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("offsets", "indices", "positions"))
    return same and a.shape == b.shape


@pytest.mark.parametrize("name", ["s.h5", "s.hdf5", "s.zarr"])
@pytest.mark.parametrize("each", [1, 3])
def test_there_and_back(tmp_path: Path, name: str, each: int) -> None:
    write_counted(scan(each), tmp_path / name)
    assert equal(read_counted(tmp_path / name), scan(each))
    write_counted(scan(1), tmp_path / name)  # over what is there
    assert equal(read_counted(tmp_path / name), scan(1))


def test_zarr_keeps_what_hdf5_has_no_place_for(tmp_path: Path) -> None:
    whole = scan()
    positions = np.array([0, 0, 0, 1, 2, 3, 5, 8, 8, 11])
    uneven = CountedScan(whole.offsets[:11], whole.indices[: whole.offsets[10]], (3, 4), (7, 10), positions,
                         np.arange(10) % 3 > 0)  # fmt: skip
    write_counted(uneven, tmp_path / "s.zarr")
    back = read_counted(tmp_path / "s.zarr")
    assert equal(back, uneven) and back.complete is not None and (back.complete == uneven.complete).all()
    write_counted(uneven, tmp_path / "s.h5")
    back = read_counted(tmp_path / "s.h5")
    assert len(back) == 36 and (back.dense() == uneven.dense()).all()


def test_nothing(tmp_path: Path) -> None:
    none = CountedScan(np.zeros(7, np.int64), np.zeros(0, np.uint32), (2, 3), (4, 4))
    for name in ("s.h5", "s.zarr"):
        write_counted(none, tmp_path / name)
        assert equal(read_counted(tmp_path / name), none)


def older(file: Path, version: int | None, rows: list[list[int]], positions: list[int], on_group: bool = False) -> Path:
    """A file of 2 x 2 positions and frames of 3 x 5, laid out as stempy 1 and 2 did, or interactEM does."""
    with h5py.File(file, "w") as made:
        group = made.create_group("electron_events")
        if version:
            (group if on_group else made).attrs["version"] = version
        frames = group.create_dataset("frames", (len(rows),), dtype=h5py.special_dtype(vlen=np.uint32))
        frames.attrs["Nx"], frames.attrs["Ny"] = 3, 5
        for k, row in enumerate(rows):
            frames[k] = np.array(row, np.uint32)
        places = group.create_dataset("scan_positions", data=np.array(positions))
        places.attrs["Nx"], places.attrs["Ny"] = 2, 2
    return file


def test_older_files(tmp_path: Path) -> None:
    first = read_counted(older(tmp_path / "1.h5", None, [[1, 1, 3], [], [14], [2]], [0, 1, 2, 3]))
    assert first.frame(0, 0).ravel()[1] == 2 and first.frame_shape == (3, 5) and first.events == 5
    second = read_counted(older(tmp_path / "2.h5", 2, [[1, 3], [], [14], [2], [1]], [0, 1, 2, 3, 0]))
    assert (second.dense() == first.dense()).all() and second.frames_at.tolist() == [[2, 1], [1, 1]]
    third = read_counted(older(tmp_path / "3.h5", 3, [[1, 3], [1], [], [], [14], [], [2], []], [0, 1, 2, 3], on_group=True))
    assert (third.dense() == first.dense()).all() and third.positions.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("version", "rows", "positions", "said"),
    [
        (3, [[1]] * 5, [0, 1, 2, 3], "holds 5 frames, but its 2 x 2 positions need a multiple of 4"),
        (2, [[1]] * 4, [0, 1, 2, 9], "do not lie on its 2 x 2 positions"),
        (2, [[15]] * 4, [0, 1, 2, 3], r"found the index 15, but a frame of \(3, 5\) has 15 pixels"),
        (7, [[1]] * 4, [0, 1, 2, 3], "version 7; known are 1, 2 and 3"),
    ],
)
def test_files_that_contradict_themselves(tmp_path: Path, version: int, rows: Any, positions: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_counted(older(tmp_path / "bad.h5", version, rows, positions))


@pytest.mark.parametrize("name", ["none.h5", "text.h5", "other.h5", "none.zarr", "other.zarr"])
def test_what_is_no_counted_scan(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.h5").write_text("hello")
    h5py.File(tmp_path / "other.h5", "w").close()
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr/zarr.json").write_text('{"attributes": {}}')
    with pytest.raises(PathError, match="cannot be read as"):
        read_counted(tmp_path / name)


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    code = "import h5py, sys; file = h5py.File(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "s.h5"], stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout and writer.stdin and writer.stdout.readline()
        with pytest.raises(PathError, match="being written by another program"):
            read_counted(tmp_path / "s.h5")
        writer.stdin.close()
