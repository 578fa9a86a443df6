"""What differs between two runs is told, by kind, with the largest difference of values; and nothing where nothing does."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tifffile import imwrite

import emkit
from emkit.cli import main
from emkit.errors import PathError
from emkit.io.omezarr import create_volume, shard_grid, write_block
from emkit.provenance import METADATA, digest, seal_record
from emkit.runs import diff, find_run
from emkit.runs.numbers import Largest, largest_differences
from tests.runs.conftest import SIZE_NM, Made

Copy = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))


def test_nothing_differs(copy_of: Copy, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(made.home / "aligned"), str(copy_of("aligned"))]) == 0
    assert "the same bytes, from the same inputs, by the same versions" in capsys.readouterr().out


def test_runs_by_any_name_and_what_differs_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    emkit.make_phantom(out="a", sections=2, size_px=64)
    first = find_run("last")
    emkit.make_phantom(out="b", sections=2, size_px=64, seed=2)
    for one, other in (("a", "b"), (first.id, "last"), (first.id, "b"), (str(Path("a").absolute()), "last")):
        found = diff(one, other)
        assert found.parameters == ("seed: 1 → 2",) and not (found.inputs or found.versions or found.machine)
        files = {line.partition(":")[0] for line in found.result}
        assert files == {"section_00.tif", "section_01.tif", "tasks.jsonl", "truth.json"}
        assert any(line.startswith("truth.json: the largest difference is 1 at seed") or "affine" in line for line in found.numbers)
    assert main(["diff", "a", "b", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["parameters"] == ["seed: 1 → 2"]
    assert main(["diff", "a", "b"]) == 4
    assert capsys.readouterr().out.splitlines()[1] == "  parameters: seed: 1 → 2"
    shutil.rmtree("a")
    gone = diff(first.id, "b")
    assert gone.result == (f"{first.id} has no output of its own any more, or none yet",) and gone.parameters == ("seed: 1 → 2",)
    emkit.make_phantom(out="a", sections=2, size_px=64, seed=3)  # of another run
    assert diff(first.id, "b").result == gone.result
    with pytest.raises(PathError, match="none of the 3 runs"):
        diff("a", "nowhere")


def test_inputs_versions_and_machines(copy_of: Copy, made: Made) -> None:
    out = copy_of("volume")
    text = (out / METADATA).read_text()
    graph = json.loads(text)["@graph"]
    cpu = next(entity for entity in graph if entity.get("name") == "cpu")["value"]
    changed = text.replace(f'"value": "{cpu}"', '"value": "Another"').replace(digest(made.raw), "0" * 64)
    (out / METADATA).write_text(changed.replace('"softwareVersion": "3.11', '"softwareVersion": "2.11'))
    seal_record(out)
    found = diff(made.home / "volume", out)
    assert found.inputs == (f"source: {digest(made.raw)[:12]} → {'0' * 12}",)
    assert found.machine == (f"cpu: {cpu} → Another",) and not (found.result or found.numbers)
    assert [line.split(" → ")[0][:12] for line in found.versions] == ["python: 3.11"]
    assert "but not all that made it" in str(found)


def test_a_rerun_tells_by_how_much_values_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw := tmp_path / "raw").mkdir()
    pixels = np.full((2, 64, 64), 100, np.uint8)
    for z, section in enumerate(pixels):
        imwrite(raw / f"{z}.tif", section)
    emkit.convert(raw, out="a", voxel_size_nm=SIZE_NM)
    pixels[1, 5, 6] -= 7
    imwrite(raw / "1.tif", pixels[1])
    assert main(["rerun", "a", "-o", "b"]) == 4
    told = capsys.readouterr().out
    assert "numbers: voxels: the largest difference is 7; 1 of 8192 values differ" in told
    assert "inputs: source: " in told and "result: 0/c/0/0/0: " in told and "machine" not in told


@pytest.mark.parametrize(
    ("one", "other", "most", "differing"),
    [
        (np.array([0, 255], np.uint8), np.array([255, 255], np.uint8), 255, 1),
        (np.array([-128, 0], np.int8), np.array([127, 0], np.int8), 255, 1),
        (np.array([2**64 - 1], np.uint64), np.array([0], np.uint64), 2**64 - 1, 1),
        (np.array([1.5, np.nan], np.float32), np.array([1.0, np.nan], np.float32), 0.5, 1),
        (np.array([1.0, np.inf]), np.array([np.nan, np.inf]), np.inf, 1),
    ],
)
def test_the_largest_difference(one: NDArray[Any], other: NDArray[Any], most: float, differing: int) -> None:
    found = Largest()
    found.see(one, other)
    found.see(one, one)
    assert (found.most, found.differing, found.seen) == (most, differing, 2 * one.size)
    again = Largest()
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        again.see_number(a, b, "here")
    assert (again.most, again.differing) == (most, differing)


def test_volumes_are_compared_in_blocks(tmp_path: Path) -> None:
    for name in "ab":
        create_volume(tmp_path / name, shape=(2, 300, 200), dtype="float32", voxel_size_nm=SIZE_NM)
        for block in shard_grid(tmp_path / name):
            voxels = np.ones(block.shape, np.float32)
            if name == "b" and block.y[1] == 300:
                voxels[-1, -1, -1] = 1.25
            write_block(tmp_path / name, block, voxels)
    assert largest_differences(tmp_path / "a", tmp_path / "b", []) == (
        "voxels: the largest difference is 0.25; 1 of 120000 values differ",
    )
    create_volume(tmp_path / "c", shape=(2, 300, 201), dtype="uint8", voxel_size_nm=SIZE_NM)
    (told,) = largest_differences(tmp_path / "a", tmp_path / "c", [])
    assert told == "voxels: float32 of (2, 300, 200) and uint8 of (2, 300, 201)"


def test_files_are_compared_by_their_numbers(tmp_path: Path) -> None:
    for name, shift in (("a", 0), ("b", 1)):
        (folder := tmp_path / name).mkdir()
        (folder / "truth.json").write_text(json.dumps({"x": [1.0, {"y": 2.5 + shift}], "word": f"w{shift}", "more": [1][shift:]}))
        with (folder / "pairs.csv").open("w") as file:
            csv.writer(file).writerows([["fixed", "snr"], [0, 11.0], [1, 12.0 - 3 * shift]])
        imwrite(folder / "s.tif", np.full((4, 5), 9 + shift, np.uint16))
        imwrite(folder / "t.tif", np.zeros((4, 5 + shift), np.uint16))
        (folder / "broken.json").write_text("{" * (shift + 1))
        (folder / "other.bin").write_bytes(os.urandom(8))
    assert largest_differences(tmp_path / "a", tmp_path / "b", sorted(os.listdir(tmp_path / "a")))[1:] == (
        "pairs.csv: the largest difference is 3 at [2][1]; 1 of 4 values differ",
        "s.tif: the largest difference is 1; 20 of 20 values differ",
        "t.tif: uint16 of (4, 5) px and uint16 of (4, 6) px",
        "truth.json: the largest difference is 1 at x[1].y; 1 of 2 values differ; more[0] is another, as are 1 more",
    )


def test_a_workflow_is_no_run_to_compare() -> None:
    parts = [f'[[step]]\nname = "{name}"\nstep = "make_phantom"\n' for name in "ab"]
    arguments = [f'arguments = {{ out = "{name}", sections = 2, size_px = 64 }}\n' for name in "ab"]
    Path("flow.toml").write_text("".join(part + given for part, given in zip(parts, arguments, strict=True)))
    assert main(["run", "flow.toml"]) == 0
    assert diff("a", "b").same
    with pytest.raises(PathError, match="a workflow of several runs; needed: one run"):
        diff("last", "a")
