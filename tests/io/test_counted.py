"""Counted scans come back as they were written, and as stempy's own files have them."""

import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from subprocess import PIPE
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import DataError, ParameterError, PathError
from emkit.io import counted_zarr
from emkit.io.counted import counted_frames, counted_header, iter_counted, read_counted, write_counted
from emkit.io.counted_parts import batches, events_of, join_events, join_frames, write_part
from emkit.model import CountedScan, Sample, Thresholds
from emkit.provenance import digest


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


@pytest.mark.parametrize("name", ["s.h5", "s.zarr"])
@pytest.mark.parametrize("each", [1, 3])
def test_lines_are_read_alone(tmp_path: Path, name: str, each: int) -> None:
    whole = scan(each)
    write_counted(whole, tmp_path / name)
    for first, last in ((0, 0), (0, 1), (1, 3), (0, 3)):
        part = whole[first:last]
        assert isinstance(part, CountedScan) and equal(read_counted(tmp_path / name, (first, last)), part)
    parts = list(iter_counted(tmp_path / name, events=1))
    assert [part.scan_shape for part in parts] == [(1, 4)] * 3
    assert (np.concatenate([part.indices for part in parts]) == whole.indices).all()
    assert [part.scan_shape for part in iter_counted(tmp_path / name, events=1, lines=2)] == [(2, 4), (1, 4)]
    assert (counted_frames(tmp_path / name).positions == whole.positions).all() and not counted_frames(tmp_path / name).events
    with pytest.raises(ParameterError, match="found 1 to 4, but .* has the lines 0 to 3"):
        read_counted(tmp_path / name, (1, 4))


def test_lines_of_frames_in_any_order(tmp_path: Path) -> None:
    whole, places = scan(), np.array([3, 9, 0, 0, 11, 7, 7, 2, 4, 1, 8, 5])
    mixed = replace(whole, positions=places, complete=np.arange(12) % 2 > 0)
    write_counted(mixed, tmp_path / "s.zarr")
    for first in range(3):
        part, wanted = read_counted(tmp_path / "s.zarr", (first, first + 1)), mixed[first : first + 1]
        assert isinstance(wanted, CountedScan) and (part.dense() == wanted.dense()).all()
        assert part.complete is not None and wanted.complete is not None and (part.complete == wanted.complete).all()


def test_other_lines_are_not_even_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_zarr, "CHUNK", 8)
    write_counted(scan(), tmp_path / "s.zarr")
    chunks = sorted((tmp_path / "s.zarr/indices/c").iterdir(), key=lambda path: int(path.name))
    chunks[-1].write_bytes(chunks[-1].read_bytes()[:-1])
    assert read_counted(tmp_path / "s.zarr", (0, 2)).events
    with pytest.raises(DataError, match="damaged"):
        read_counted(tmp_path / "s.zarr")


GIVEN = Thresholds(28.5, 2000.0)
SAMPLE = Sample(40, 3.0, 4502.0, 20.4, 9.8, 4500, 4.5, 175.0, 19.8, 1.9)


@pytest.mark.parametrize("name", ["s.h5", "s.zarr"])
@pytest.mark.parametrize("thresholds", [GIVEN, Thresholds(28.5, inf), replace(GIVEN, sample=SAMPLE), None])
def test_thresholds_are_kept(tmp_path: Path, name: str, thresholds: Thresholds | None) -> None:
    write_counted(replace(scan(), thresholds=thresholds), tmp_path / name)
    assert counted_header(tmp_path / name).thresholds == thresholds == read_counted(tmp_path / name, (0, 1)).thresholds


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 12))
def test_batches_have_every_event_once_and_in_order(sizes: list[int], size: int) -> None:
    events = {str(k): n for k, n in enumerate(sizes)}
    found = batches(events, size)
    each = [[(p.part, k) for p in pieces for k in range(p.first, p.last)] for pieces in found.values()]
    assert [one for batch in each for one in batch] == [(part, k) for part, n in events.items() for k in range(n)]
    assert list(found) == list(range(0, sum(sizes), size)) and all(len(batch) == size for batch in each[:-1])


def test_parts_become_the_same_bytes_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_zarr, "CHUNK", 8)
    whole = replace(scan(), thresholds=GIVEN)
    write_counted(whole, tmp_path / "at-once")
    (parts := tmp_path / "parts").mkdir()
    for k in (1, 2, 0):
        line = whole[k : k + 1]
        assert isinstance(line, CountedScan)
        write_part(line, parts, str(k))
    events = {str(k): events_of(parts, str(k)) for k in range(3)}
    counted_zarr.create(joined := tmp_path / "joined", counted_header(tmp_path / "at-once"))
    made = [file for first, pieces in reversed(batches(events, 16).items()) for file in join_events(parts, joined, first, pieces)]
    made += join_frames(parts, joined, tuple(events), None)
    assert digest(joined) == digest(tmp_path / "at-once") and all(path.is_file() for path in made)


def test_a_scan_larger_than_memory(tmp_path: Path) -> None:
    """256 MB of events by a process that may take 200 MB more than its libraries do."""
    random = np.random.default_rng(0)
    frame = np.sort(random.integers(0, 576 * 576, 8000, np.uint32))
    part = CountedScan(np.arange(1001) * 8000, np.tile(frame, 1000), (10, 100), (576, 576))
    for k in range(8):
        write_part(part, tmp_path, f"{k}")
    code = (
        "import resource, sys; from pathlib import Path; from emkit.io import counted_zarr; from emkit.io.counted_parts import *\n"
        "from emkit.io.counted import iter_counted; from emkit.model import CountedHeader; import numpy, tensorstore\n"
        "folder, parts = Path(sys.argv[1]), [str(k) for k in range(8)]\n"
        "counted_zarr.create(out := folder / 'out', CountedHeader((80, 100), (576, 576), 8000, 64_000_000))\n"
        "join_frames(folder, out, tuple(parts), None)\n"  # its threads are there
        "data = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmData')) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (data + 200_000_000,) * 2)\n"
        "for first, pieces in batches({part: events_of(folder, part) for part in parts}).items():\n"
        "    join_events(folder, out, first, pieces)\n"
        "print(sum(part.sum('scan') for part in iter_counted(out)).sum(), end=' ')\n"
        "try:\n    numpy.ones(256_000_000, numpy.uint8)\nexcept MemoryError:\n    print('limited')"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "64000000 limited\n", done.stderr


def test_nothing(tmp_path: Path) -> None:
    none = CountedScan(np.zeros(7, np.int64), np.zeros(0, np.uint32), (2, 3), (4, 4))
    for name in ("s.h5", "s.zarr"):
        write_counted(none, tmp_path / name)
        assert equal(read_counted(tmp_path / name), none)


def older(file: Path, version: int | None, rows: list[list[int]], positions: list[int], on_group: bool = False, **how: Any) -> Path:
    """A file of 2 x 2 positions and frames of 3 x 5, laid out as stempy 1 and 2 did, or interactEM does."""
    with h5py.File(file, "w", **how) as made:
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


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    write_counted(scan(), tmp_path / "s.h5")
    (tmp_path / "s.h5").write_bytes((tmp_path / "s.h5").read_bytes()[:-100])
    with pytest.raises(PathError, match="is cut off, or its writer was killed.*Copy it again"):
        read_counted(tmp_path / "s.h5")


def test_a_file_that_is_written_for_readers(tmp_path: Path) -> None:
    """SWMR: nothing is locked, but nothing may be taken for whole either."""
    older(tmp_path / "s.h5", 2, [[1], [2], [3], [4]], [0, 1, 2, 3], libver="latest")
    code = "import h5py, sys; file = h5py.File(sys.argv[1], 'a', libver='latest'); file.swmr_mode = True\n"
    code += "print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "s.h5"], stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout and writer.stdin and writer.stdout.readline()
        with pytest.raises(PathError, match="marked as being written.*Wait until it is closed"):
            read_counted(tmp_path / "s.h5")
        writer.stdin.close()
    assert read_counted(tmp_path / "s.h5").events == 4


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    code = "import h5py, sys; file = h5py.File(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "s.h5"], stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout and writer.stdin and writer.stdout.readline()
        with pytest.raises(PathError, match="being written by another program"):
            read_counted(tmp_path / "s.h5")
        writer.stdin.close()
