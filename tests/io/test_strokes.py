"""Strokes are there when they are painted, whatever ends the process; undo takes back exactly what a stroke did."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from emkit.blocks import Block
from emkit.errors import PathError
from emkit.io.strokes import JOURNAL, Strokes

SHAPE, NM = (3, 300, 520), (50.0, 4.0, 4.0)


def whole(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r"))


def test_strokes_are_exactly_what_was_painted_and_undone(tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / "s.ome.zarr"
    strokes, other = Strokes.open(path, SHAPE, NM), Strokes.open(path, SHAPE, NM)  # two notebooks
    expected = [np.zeros(SHAPE, np.uint8)]
    for k in range(12):
        z, y, x = int(random.integers(3)), int(random.integers(200)), int(random.integers(420))
        mask = random.random((100, 100)) < 0.5
        now = expected[-1].copy()
        now[z, y : y + 100, x : x + 100][mask] = k % 3
        changed = (strokes, other)[k % 2].paint(z, (y, x), mask, k % 3)
        assert changed == (now != expected[-1]).any()
        expected += [now] * changed
        np.testing.assert_array_equal(whole(path), expected[-1])
    assert not strokes.paint(0, (0, 0), np.zeros((5, 5), bool), 1)
    while len(expected) > 1:
        expected.pop()
        assert strokes.undo() is not None
        np.testing.assert_array_equal(whole(path), expected[-1])
    assert strokes.undo() is None and other.undo() is None
    assert not list((path / "0").glob("c/*/*/*")), "what is not painted takes no place"


def test_a_stroke_survives_what_ends_the_process_between_its_line_and_its_voxels(tmp_path: Path) -> None:
    path = tmp_path / "s.ome.zarr"
    strokes = Strokes.open(path, SHAPE, NM)
    strokes.paint(0, (10, 10), np.ones((20, 20), bool), 1)
    strokes.paint(1, (250, 250), np.ones((20, 20), bool), 2)
    painted = whole(path)
    shutil.rmtree(path / "0" / "c" / "1")  # the line is there, its voxels are not
    with (path / JOURNAL).open("ab") as file:
        file.write(b'{"z": 2, "y": 0, "x"')  # nor is the whole of the next line
    again = Strokes.open(path, SHAPE, NM)
    np.testing.assert_array_equal(whole(path), painted)
    assert again.round.strokes == 2
    assert again.paint(2, (0, 0), np.ones((4, 4), bool), 1) and again.undo() == 2 and again.undo() == 1
    np.testing.assert_array_equal(again.read(Block((0, 1), (0, 40), (0, 40)))[0, 10:30, 10:30], 1)


def test_rounds_count_strokes_and_minutes_without_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strokes, at = Strokes.open(tmp_path / "s.ome.zarr", SHAPE, NM), iter([0.0, 30.0, 60.0, 4000.0, 4060.0, 5000.0, 5100.0])
    monkeypatch.setattr("emkit.io.strokes.time.time", lambda: next(at))
    for k in range(5):
        strokes.paint(0, (9 * k, 0), np.ones((5, 5), bool), 1)
    assert str(strokes.round) == "Round 1: 5 strokes, 2.0 min"
    strokes.begin_round("round_1")
    assert str(strokes.round) == "Round 2: 0 strokes, 0.0 min"
    strokes.paint(1, (0, 0), np.ones((5, 5), bool), 1)
    assert str(strokes.round) == "Round 2: 1 stroke, 0.0 min"
    assert str(Strokes.open(tmp_path / "s.ome.zarr", SHAPE, NM).round) == "Round 2: 1 stroke, 0.0 min"


def test_strokes_of_another_volume_are_refused(tmp_path: Path) -> None:
    Strokes.open(tmp_path / "s.ome.zarr", SHAPE, NM)
    with pytest.raises(PathError, match=r"holds labels of \(3, 300, 520\) voxels, uint8; needed: strokes on a volume of \(4, 5"):
        Strokes.open(tmp_path / "s.ome.zarr", (4, 5, 6), NM)
