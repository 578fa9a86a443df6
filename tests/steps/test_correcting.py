"""Edits beside a segmentation: by command and by function, by several at once, through kills; and the volume that they make."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from emkit import apply_edits, open_volume, segment, verify
from emkit.cli import main
from emkit.errors import DamagedError, ParameterError, PathError
from emkit.io.edits import edits_of, live, new_edit, read_edits, undone, writing
from emkit.model import Shape
from emkit.steps.correcting import Correctable
from tests.io.readers import digests, write_volume
from tests.membrane.test_instances import cells

NM = (45.0, 4.6, 4.6)
FLAT, PROBABILITY = cells(0, (1, 80, 90), 12, flat=True)
STACK = np.concatenate([PROBABILITY] * 3)  # cells of one section go through three


def segmented(folder: Path) -> Path:
    """The segmentation of the stack, in 3D."""
    write_volume(folder / "p.ome.zarr", STACK, NM)
    segment(folder / "p.ome.zarr", out=folder / "s.ome.zarr", dim=3)
    return folder / "s.ome.zarr"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return segmented(tmp_path_factory.mktemp("seg"))


@pytest.fixture
def seg(made: Path) -> Path:
    edits_of(made).unlink(missing_ok=True)
    return made


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(open_volume(path))


def centre(labels: np.ndarray, label: int, z: int = 1) -> tuple[int, int, int]:
    """A voxel of a cell, in the middle of those of a section."""
    where = np.argwhere(labels[z] == label)
    y, x = where[np.abs(where - where.mean(0)).sum(1).argmin()]
    return z, int(y), int(x)


def two_cells(labels: np.ndarray) -> tuple[int, int]:
    first, second = np.argsort(-np.bincount(labels[labels > 0].ravel()))[:2]
    return int(first), int(second)


def test_a_merge_its_undoing_and_what_is_written(seg: Path, tmp_path: Path) -> None:
    before, sealed = labels_of(seg), digests(seg)
    a, b = two_cells(before)
    opened = Correctable.open(seg)
    assert opened.edit("merge", centre(before, a), centre(before, b))[0] == 1
    report = apply_edits(seg, edits_of(seg), out=tmp_path / "e.ome.zarr")
    after = labels_of(tmp_path / "e.ome.zarr")
    np.testing.assert_array_equal(after, np.where(np.isin(before, (a, b)), min(a, b), before))
    assert (report.merges, report.splits, report.cells) == (1, 0, report.before - 1)
    assert verify(tmp_path / "e.ome.zarr").whole and sorted(p.name for p in (tmp_path / "e.ome.zarr").glob("*.npy")) == []

    assert opened.undo()[1].undoes == 1
    apply_edits(seg, edits_of(seg), out=tmp_path / "u.ome.zarr")
    np.testing.assert_array_equal(labels_of(tmp_path / "u.ome.zarr"), before)
    assert opened.undo(2)[0] == 3  # of the undoing: it is merged again
    assert live(read_edits(edits_of(seg))) == [1]
    assert digests(seg) == sealed and verify(seg).whole


def test_a_split_between_sections(seg: Path, tmp_path: Path) -> None:
    """Cells were linked through three sections: the cut goes between two of them, and through no section."""
    before = labels_of(seg)
    a, _ = two_cells(before)
    Correctable.open(seg).edit("split", centre(before, a, 0), centre(before, a, 2))
    apply_edits(seg, edits_of(seg), out=tmp_path / "e.ome.zarr")
    after = labels_of(tmp_path / "e.ome.zarr")
    np.testing.assert_array_equal(after[before != a], before[before != a])
    ends = [set(after[z][before[z] == a]) for z in (0, 2)]
    assert len(ends[0]) == len(ends[1]) == 1 and ends[0] != ends[1]
    assert set(after[before == a]) == ends[0] | ends[1]


def test_a_merge_is_split_again_where_it_was_made(seg: Path) -> None:
    before = labels_of(seg)
    a, b = two_cells(before)
    opened, points = Correctable.open(seg), (centre(before, a), centre(before, b))
    opened.edit("merge", *points)
    _, split = opened.edit("split", *points)
    assert len(split.pairs) == 1
    table = opened.cells(read_edits(edits_of(seg)))
    np.testing.assert_array_equal(table, opened.cells([]))


def test_the_command(seg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = labels_of(seg)
    a, b = two_cells(before)
    clicks = [str(at) for label in (a, b) for at in centre(before, label)]
    assert main(["edit-segments", str(seg)]) == 0
    assert capsys.readouterr().out == "No edits.\n"
    assert main(["edit-segments", str(seg), "--merge", *clicks]) == 0
    assert capsys.readouterr().out.startswith("1  merge at (1, ")
    assert main(["edit-segments", str(seg), "--undo"]) == 0
    capsys.readouterr()
    assert main(["edit-segments", str(seg), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(edit["number"], edit["kind"], edit["holds"], edit["undoes"]) for edit in told] == [
        (1, "merge", False, None),
        (2, "undo", True, 1),
    ]
    assert all(edit["author"] and edit["time"].endswith("+00:00") for edit in told)
    assert main(["edit-segments", str(seg), "--undo"]) == 3
    assert "Nothing to undo" in capsys.readouterr().err


def test_what_is_refused(seg: Path, tmp_path: Path) -> None:
    before = labels_of(seg)
    a, b = two_cells(before)
    opened, here, there = Correctable.open(seg), centre(before, a), centre(before, b)
    refused: list[tuple[Literal["merge", "split"], tuple[Shape, Shape], str]] = [
        ("merge", (here, here), "Nothing to merge: both points lie in cell"),
        ("split", (here, there), "the points lie in two cells already"),
        ("split", (here, here), "which is never cut"),
        ("merge", (here, (3, 0, 0)), r"\(3, 0, 0\) lies outside of s.ome.zarr, which is 3 x 80 x 90 voxels"),
    ]
    for kind, points, said in refused:
        with pytest.raises(ParameterError, match=said):
            opened.edit(kind, *points)
    with pytest.raises(ParameterError, match="There is no edit 5"):
        opened.undo(5)
    assert read_edits(edits_of(seg)) == ()
    with writing(edits_of(seg)) as pen:
        pen.add(new_edit("merge", (here, there), ((1, 10**6),)))
    with pytest.raises(DamagedError, match="these are edits of another segmentation"):
        opened.edit("merge", here, there)
    opened.edits.write_text("{}\n")
    with pytest.raises(DamagedError, match="line 1: found '{}'; needed: an edit"):
        read_edits(opened.edits)
    write_volume(tmp_path / "l.ome.zarr", before, NM, "labels")
    with pytest.raises(PathError, match="holds no fragments; needed: a segmentation that emkit segment made"):
        Correctable.open(tmp_path / "l.ome.zarr")


HAND = """
import sys
from pathlib import Path
from emkit.io.edits import new_edit, writing
while True:
    with writing(Path(sys.argv[1])) as pen:
        pen.add(new_edit("merge", ((0, 0, 0), (0, 0, 1)), ((int(sys.argv[2]), len(pen.edits) + 1),)))
        print(len(pen.edits), flush=True)
"""


def test_several_edit_at_once_and_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    """Three processes add edits until each is killed at any moment. What was acknowledged is there, once, in order."""
    file = tmp_path / "s.edits.jsonl"
    hands = [
        subprocess.Popen([sys.executable, "-c", HAND, file, str(hand)], stdout=subprocess.PIPE, text=True) for hand in (1, 2, 3)
    ]
    said: list[int] = []
    for hand in hands:
        assert hand.stdout
        said += [int(hand.stdout.readline()) for _ in range(5)]
        os.kill(hand.pid, signal.SIGKILL)
        said += map(int, hand.stdout.read().split())
        hand.stdout.close()
        hand.wait()
    with file.open("ab") as torn:
        torn.write(b'{"kind":"merge","points":[[0,0')
    edits = read_edits(file)
    assert len(said) == len(set(said)) and set(said) <= set(range(1, len(edits) + 1))
    assert len(edits) <= len(said) + len(hands)  # one may be written and not acknowledged
    assert [edit.pairs[0][1] for edit in edits] == list(range(1, len(edits) + 1))
    with writing(file) as pen:
        assert pen.add(new_edit("undo", undoes=1)) == len(edits) + 1
    assert read_edits(file)[:-1] == edits and undone(read_edits(file)) == {1}
