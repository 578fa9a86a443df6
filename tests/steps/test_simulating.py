"""A phantom on disk: readable as a stack, its truth beside it, the same bytes for the same seed."""

import json
from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.errors import EmkitError, ParameterError
from emkit.io.sections import open_stack, read_section
from emkit.phantoms import SectionPhantom
from emkit.run.plan import Plan


def contents(folder: Path) -> dict[str, bytes]:
    names = [path for path in folder.iterdir() if path.suffix == ".tif" or path.name == "truth.json"]
    return {path.name: path.read_bytes() for path in names}


def test_sections_can_be_read_and_their_truth_lies_beside_them(tmp_path: Path) -> None:
    truth = emkit.make_phantom(out=tmp_path / "phantom", sections=11, size_px=96, bad=(3,), seed=5)
    stack = open_stack(tmp_path / "phantom")
    assert (len(stack.files), stack.shape, stack.dtype, stack.gaps) == (11, (96, 96), "uint8", ())
    phantom = SectionPhantom((96, 96), 11, 5, bad=(3,))
    np.testing.assert_array_equal(read_section(stack, 10), phantom.render_section(10))
    told = json.loads((tmp_path / "phantom" / "truth.json").read_text())
    assert [section["file"] for section in told["sections"]] == [file.path.name for file in stack.files]
    assert [section["bad"] for section in told["sections"]].index(True) == 3
    for section, rows, affine in zip(told["sections"], truth.affines, phantom.affines, strict=True):
        assert section["affine"] == [list(row) for row in rows] == [list(row) for row in affine.rows]


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        emkit.make_phantom(out=tmp_path / name, sections=3, size_px=64, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() == contents(tmp_path / "c").keys()
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_the_plan_knows_the_size_of_what_will_be_written(tmp_path: Path) -> None:
    plan = emkit.plan(emkit.make_phantom, out=tmp_path / "phantom", sections=4, size_px=128)
    assert isinstance(plan, Plan)
    assert not (tmp_path / "phantom").exists()
    emkit.make_phantom(out=tmp_path / "phantom", sections=4, size_px=128)
    written = sum(map(len, contents(tmp_path / "phantom").values()))
    assert written <= plan.disk_bytes <= 1.2 * written


@pytest.mark.parametrize(
    ("wrong", "said"), [({"bad": (20,)}, "sections 0 to 19"), ({"size_px": 63}, "size_px"), ({"seed": -1}, "seed")]
)
def test_values_out_of_bounds_are_refused_and_nothing_is_written(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said) as refused:
        emkit.make_phantom(out=tmp_path / "phantom", **wrong)
    assert isinstance(refused.value, EmkitError)
    assert list(tmp_path.iterdir()) == []


def test_the_cells_of_a_phantom_lie_between_its_membranes(tmp_path: Path) -> None:
    emkit.make_phantom(out=(raw := tmp_path / "raw"), sections=2, size_px=96, jitter=0, cells=True)
    emkit.make_phantom(out=tmp_path / "plain", sections=2, size_px=96, jitter=0)
    assert len(open_stack(raw).files) == 2 == len(open_stack(raw / "cells").files)
    for z in range(2):
        gray, cells = read_section(open_stack(raw), z), read_section(open_stack(raw / "cells"), z)
        np.testing.assert_array_equal(gray, read_section(open_stack(tmp_path / "plain"), z))
        border = cells[1:, 1:] != cells[:-1, :-1]
        assert cells.min() >= 1 and len(np.unique(cells)) > 4
        assert gray[1:, 1:][border].mean() < gray[1:, 1:][~border].mean() - 40
