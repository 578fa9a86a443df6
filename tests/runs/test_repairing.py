"""What is damaged of an output is computed anew, alone and bit for bit; the output is never worse than it was."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emkit.cli import main
from emkit.errors import DamagedError, PathError
from emkit.progress import Cancelled, Tick, listening
from emkit.provenance import MANIFEST, METADATA, RECIPE, RESULT, SEAL, TASKS, digest, files, seal_record
from emkit.records import read_record
from emkit.run.folder import RunFolder, State
from emkit.runs import drive, find_run, repair, rerun, verify
from tests.runs.conftest import KINDS, Made
from tests.runs.damage import cases, contents, delete, flip, truncate

Copy = Callable[[str], Path]
SAMPLE = 4  # of the damages of each kind of output
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))


def tasks_of(out: Path) -> list[dict[str, str | None]]:
    """The files of each task that wrote some."""
    results = [json.loads(line)["result"] for line in (out / TASKS).read_text().splitlines()]
    return [result["files"] if result.keys() == {"files"} else {} for result in results]


def inodes(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_ino for path in files(out)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_is_repaired_alone(copy_of: Copy, kind: str, campaign: bool) -> None:
    """Bit for bit; what no lost task wrote, and no other writes into, is still the same file."""
    out = copy_of(kind)
    before = contents(out)
    for name, damage in cases(out, None if campaign else SAMPLE):
        tasks = tasks_of(out) if out.is_dir() else [{out.name: None}]
        lost = [task for task in tasks if name in task or (name == TASKS)]
        spooled = [task for task in tasks if task and not task.keys() <= before.keys()]
        numbers = inodes(out) if out.is_dir() else {}
        damage(out / name if out.is_dir() else out)
        done = repair(out)
        assert set(done.wrong) == {name} and contents(out) == before, name
        if not out.is_dir():
            continue
        assert (done.redone, done.tasks) == (len(lost) + len(spooled) * (name != TASKS), len(tasks)), name
        shared = {file for task in tasks for file, value in task.items() if value is None}
        kept = {file for task in tasks if task not in lost for file in task} - {file for task in lost for file in task} - shared
        after = inodes(out)
        assert all(after[file] == numbers[file] for file in kept & numbers.keys()), name
    assert sorted(os.listdir(out.parent)) == sorted({kind, f"{kind}.crate"} & set(os.listdir(out.parent)))


def test_many_damages_at_once_and_files_of_others(copy_of: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    out = copy_of("volume")
    before = contents(out)
    flip(out / "0/c/0/0/0")
    delete(out / "0/c/0/1/1")
    truncate(out / "1/zarr.json")
    (out / "mine").mkdir()
    (out / "mine/notes.txt").write_text("kept")
    assert main(["repair", str(out)]) == 0
    told = capsys.readouterr().out
    assert "3 files were damaged or missing, 3 of 8 tasks were done again" in told, told
    assert f"mine/notes.txt: not of this run, kept in {out.parent}/strange-volume" in told
    assert contents(out) == before and (out.parent / "strange-volume/mine/notes.txt").read_text() == "kept"
    assert main(["repair", str(out)]) == 0 and "there was nothing to repair" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [flip, delete])
@pytest.mark.parametrize("name", [MANIFEST, RESULT, SEAL])
def test_a_record_that_can_be_told_anew(copy_of: Copy, name: str, damage: Callable[[Path], None]) -> None:
    out = copy_of("volume")
    before = contents(out)
    damage(out / name)
    assert name in repair(out).wrong and contents(out) == before


def test_where_the_metadata_is_lost_all_is_made_anew_by_the_versions_that_the_new_ones_name(copy_of: Copy) -> None:
    for kind in ("volume", "table"):
        out = copy_of(kind)
        folder = out if out.is_dir() else out.with_name(f"{kind}.crate")
        before, numbers = digest(out), inodes(out)
        if out.is_file():  # it alone tells the digest of a single file
            delete(folder / METADATA)
            with pytest.raises(DamagedError, match="cannot be read as a record"):
                repair(out)
            continue
        flip(folder / METADATA)
        done = repair(out)
        assert done.redone == done.tasks and digest(out) == before and verify(out).whole
        assert not inodes(out).items() & numbers.items() and read_record(out).run == find_run("last").id


def test_what_cannot_be_repaired_says_what_to_do_and_is_left_as_it_is(copy_of: Copy) -> None:
    out = copy_of("volume")
    flip(out / "0/c/0/0/0")
    (recipe := out / RECIPE).rename(out.parent / "kept")
    with pytest.raises(DamagedError, match="recipe.toml is missing, and nothing else says how .* was made. Copy it back"):
        repair(out)
    (out.parent / "kept").rename(recipe)
    flip(out / MANIFEST)
    with pytest.raises(DamagedError, match="make the output again: emkit run"):
        repair(out)
    assert not Path("runs").exists() and os.listdir(out.parent) == ["volume"]


def test_inputs_are_checked_first(copy_of: Copy, made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.raw, mine := tmp_path / "mine")
    out = tmp_path / "again"
    recipe = (copy_of("volume") / RECIPE).read_text().replace(str(made.raw), str(mine))
    (tmp_path / "recipe.toml").write_text(recipe.replace(str(made.home / "volume"), str(out)))
    assert main(["run", "recipe.toml"]) == 0
    flip(out / "0/c/0/0/0")
    damaged = contents(out)
    whole = (mine / "s0.tif").read_bytes()
    flip(mine / "s0.tif")
    with pytest.raises(PathError, match=f"source: {mine} is not what .* was made from"):
        repair(out)
    mine.rename(tmp_path / "away")
    with pytest.raises(PathError, match=f"source: {mine} is missing"):
        repair(out)
    (tmp_path / "away").rename(mine)
    # a record that tells another story: the inputs seem right, and another block comes out
    record = (out / METADATA).read_text()
    (out / METADATA).write_text(record.replace(read_record(out).inputs["source"][1], digest(mine)))
    seal_record(out)
    damaged = contents(out)
    with pytest.raises(DamagedError, match=r"left as it is: .* differs in \d+ of \d+ files .*Inputs, versions"):
        repair(out)
    assert contents(out) == damaged and not list(tmp_path.glob("unfinished-*"))
    (mine / "s0.tif").write_bytes(whole)
    (out / METADATA).write_text(record)
    seal_record(out)
    assert repair(out).redone and verify(out).whole


def test_a_repair_that_is_cancelled_goes_on(copy_of: Copy) -> None:
    out = copy_of("precomputed")
    for file in sorted(out.glob("*/*_*"))[::2]:
        flip(file)
    damaged, begun = contents(out), []

    def hear(tick: Tick) -> None:
        begun.append(tick.what.startswith("level"))

    with listening(hear, stop=lambda: any(begun)), pytest.raises(Cancelled):
        repair(out)
    run = find_run(str(out))
    assert run.state is State.CANCELLED and contents(out) == damaged
    drive(run)
    assert run.said()["state"] == State.DONE and verify(out).whole and not list(out.parent.glob("*unfinished*"))


def test_a_repair_that_is_killed_goes_on(copy_of: Copy, made: Made) -> None:
    out = copy_of("volume")
    for file in sorted((out / "0/c").rglob("*")):
        if file.is_file():
            flip(file)
    damaged = contents(out)
    command = [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())", "repair", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        last = time.monotonic() + PATIENCE_S
        while not (journals := list(Path("runs").glob("*/journal.jsonl"))) and process.poll() is None:
            assert time.monotonic() < last
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert len(journals) == 1 and (contents(out) == damaged or verify(out).whole)
    repair(out)
    assert verify(out).whole and digest(out) == digest(made.home / "volume")
    assert len(list(Path("runs").iterdir())) == 1 and RunFolder(journals[0].parent).state is State.DONE


def test_a_rerun_of_what_is_damaged_is_refused(copy_of: Copy) -> None:
    out = copy_of("table")
    flip(out)
    with pytest.raises(DamagedError, match="table: damaged\nMend it first: emkit repair"):
        rerun(out, out="new")
    assert not Path("new").exists()
