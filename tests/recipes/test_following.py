"""An acquisition followed as it is written: nothing too early, nothing twice, nothing lost, whatever is killed."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import imread, imwrite

from benchmarks.follow import RECIPE, feed
from emkit import make_phantom
from emkit.cli import main
from emkit.digests import sha256
from emkit.records import read_record
from emkit.run.folder import RunFolder, State
from emkit.runs import all_runs, verify
from emkit.runs.arrivals import is_item
from tests.align.test_montage import SIDE, STEP, Cut
from tests.recipes.conftest import EMKIT, PATIENCE_S, emkit, until

COUNT = 6
MONTAGE = f"""
step = "montage_sections"
[arguments]
out = "checks/{{stem}}"
voxel_size_nm = [45.0, 4.6, 4.6]
pattern = "r{{row}}_c{{column}}.tif"
overlap = {1 - STEP / SIDE}
[follow]
argument = "source"
files = 2
of = "*.tif"
"""
IN_ONE = MONTAGE.replace("r{row}_c{column}", "s{section}_c{column}").replace(
    'of = "*.tif"', 'sections = "s{section}_c{column}.tif"\ninto = "apart"'
)
FOLLOW = ("follow", "r.toml", "--folder", "in", "--settle", "0.25")


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    raw = tmp_path_factory.mktemp("sections") / "raw"
    make_phantom(out=raw, sections=COUNT, size_px=256)
    return sorted(raw.glob("*.tif"))


@pytest.fixture(autouse=True)
def _microscope(_apart: None) -> None:
    Path("in").mkdir()
    Path("checks").mkdir()
    Path("r.toml").write_text(RECIPE)


def run() -> RunFolder:
    """The one that follows: however often it was started, there is one."""
    (one,) = all_runs()
    return one


def started(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*EMKIT, *FOLLOW, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_running() -> bool:
    return bool(all_runs()) and run().state is State.RUNNING


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run().path / "items.jsonl").read_text().splitlines()]


def check_results(sections: list[Path]) -> None:
    """Each section has one whole result, made from the section as it is at its end."""
    assert sorted(path.name for path in Path("checks").iterdir()) == sorted(
        name for section in sections for name in (f"{section.stem}.csv", f"{section.stem}.csv.crate")
    )
    for section in sections:
        out = Path("checks") / f"{section.stem}.csv"
        ((_, digest),) = read_record(out).inputs.values()
        assert digest == sha256(section) and verify(out).whole


@pytest.mark.parametrize("seed", [None, 3], ids=["in order", "shuffled"])
def test_sections_are_taken_as_they_come_and_never_half(sections: list[Path], seed: int | None) -> None:
    follower = started("--until", str(COUNT))
    feed(sections, Path("in"), 0.2, pieces=4, seed=seed)
    told, refused = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 0 and f"{COUNT} items done" in told, refused
    check_results(sections)
    assert [one["state"] for one in lines()] == ["done"] * COUNT and "backlog" in refused
    with Path("checks/section_00.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["section"] == "section_00.tif" and float(row["snr"]) > 1
    assert run().state is State.DONE and not any((run().path / "items").iterdir())


def test_kill_at_any_moment_and_start_again(sections: list[Path], campaign: bool) -> None:
    feeder = threading.Thread(target=feed, args=(sections, Path("in"), 0.3), kwargs={"pieces": 3})
    feeder.start()
    draw = random.Random(5)
    for _ in range(25 if campaign else 3):
        follower = started()
        until(is_running)
        time.sleep(draw.uniform(0, 0.8))  # the moment of the kill, not a wait for anything
        follower.kill()
        follower.communicate()
    feeder.join()
    ended = emkit(*FOLLOW, "--until", str(COUNT))
    assert ended.returncode == 0, ended.stderr
    check_results(sections)
    assert max(Counter(one["item"] for one in lines()).values()) == 1
    again = emkit(*FOLLOW, "--idle", "0.5")
    assert again.returncode == 0 and len(lines()) == COUNT


def test_nothing_is_done_twice_even_where_the_run_is_forgotten(sections: list[Path]) -> None:
    feed(sections[:2], Path("in"), 0)
    assert main([*FOLLOW, "--until", "2"]) == 0
    before = {path: path.stat().st_ctime_ns for path in Path("checks").glob("*.csv")}
    shutil.rmtree(run().path)
    assert main([*FOLLOW, "--until", "2"]) == 0
    assert {path: path.stat().st_ctime_ns for path in Path("checks").glob("*.csv")} == before


def test_what_is_written_anew_is_named_and_done_again_only_when_asked(
    sections: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    feed(sections[:2], Path("in"), 0)
    assert main([*FOLLOW, "--until", "2"]) == 0
    first = Path("checks/section_00.csv").read_text()
    shutil.copy(sections[3], "in/section_00.tif")
    os.utime("in/section_01.tif")  # touched alone: it is what it was
    assert main([*FOLLOW, "--idle", "0.5"]) == 0
    assert "Written anew since they were done: section_00.tif" in capsys.readouterr().out
    assert Path("checks/section_00.csv").read_text() == first
    assert main([*FOLLOW, "--idle", "0.5", "--again"]) == 0
    assert "Written anew" not in capsys.readouterr().out and Path("checks/section_00.csv").read_text() != first
    check_results([Path("in/section_00.tif"), Path("in/section_01.tif")])


def test_an_item_that_fails_is_named_and_tried_again_when_it_changes(sections: list[Path]) -> None:
    feed(sections[:1], Path("in"), 0)
    pixels = imread(sections[1]).astype(np.float32)
    pixels[7, 5] = np.nan
    imwrite("in/broken.tif", pixels)
    follower = started("--until", "3")
    until(lambda: all_runs() and "broken" in str(run().events()[0][-1:]), lambda: follower.poll())
    assert [one["state"] for one in lines() if one["item"] == "broken.tif"] == ["failed"]
    assert "not finite" in lines()[-1]["error"] and Path("checks/section_00.csv").exists()
    shutil.copy(sections[1], "in/broken.tif")
    feed(sections[2:3], Path("in"), 0)
    told, refused = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 0 and "3 items done" in told, refused


def test_one_that_stays_broken_ends_the_run_with_its_name() -> None:
    Path("in/empty.tif").touch()
    Path("in/text.tif").write_text("no image")
    ended = emkit(*FOLLOW, "--until", "2")
    assert ended.returncode == 3 and "2 of 2 items failed" in ended.stderr
    assert "empty.tif: " in ended.stderr and "text.tif: " in ended.stderr and run().state is State.FAILED


def test_a_writer_that_pauses_in_the_middle(sections: list[Path]) -> None:
    content = sections[0].read_bytes()
    with Path("in/slow.tif").open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        follower = started("--until", "1", "--settle", "0.5")
        until(is_running)
        until(lambda: any("backlog 1" in tick.note for tick in run().events()[0]))  # still long enough, but it does not open
        assert not list(Path("checks").iterdir())
        file.write(content[len(content) // 2 :])
    assert follower.wait(PATIENCE_S) == 0
    follower.communicate()
    check_results([Path("in/slow.tif")])


def test_a_rename_marks_what_is_whole(sections: list[Path]) -> None:
    for name in ("s.tif.part", "s.tif.tmp", ".s.tif", "s.tif~"):
        shutil.copy(sections[0], f"in/{name}")
    assert emkit(*FOLLOW, "--idle", "0.6").returncode == 0 and not list(Path("checks").iterdir())
    Path("in/s.tif.part").rename("in/s.tif")
    assert emkit(*FOLLOW, "--until", "1").returncode == 0
    check_results([Path("in/s.tif")])


@pytest.mark.parametrize(("name", "taken"), [("a.tif", True), (".a.tif", False), ("unfinished-a.tif", False), ("a.png", False)])
def test_names_that_are_items(name: str, taken: bool) -> None:
    assert is_item(name, "*.tif") is taken


def test_scans_are_folders_and_go_through_several_steps(sections: list[Path]) -> None:
    Path("r.toml").write_text("""
        [[step]]
        name = "volume"
        step = "convert"
        arguments = { out = "checks/{stem}.ome.zarr", voxel_size_nm = [45.0, 4.6, 4.6] }
        [[step]]
        name = "measured"
        step = "measure_alignment"
        arguments = { volume = "@volume", out = "checks/{stem}.csv" }
        [follow]
        argument = "volume.source"
        pattern = "scan_*"
    """)
    follower = started("--until", "1")
    until(is_running)
    (scan := Path("in/scan_1")).mkdir()
    Path("in/notes.txt").touch()
    feed(sections[:3], scan, 0.1, pieces=3)
    told, refused = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 0, refused
    assert Path("checks/scan_1.csv").read_text().count("\n") == 3 and verify(Path("checks/scan_1.ome.zarr")).whole


def test_a_detached_follower_is_watched_and_ended(sections: list[Path]) -> None:
    assert emkit(*FOLLOW, "--detach").returncode == 0
    second = emkit(*FOLLOW)
    assert second.returncode == 3 and "driven already" in second.stderr
    feed(sections[:2], Path("in"), 0)
    until(lambda: len(list(Path("checks").glob("*.csv"))) == 2, run().log.read_text)
    assert emkit("cancel", "last").returncode == 0
    watched = emkit("watch", "last")
    assert watched.returncode == 130 and run().state is State.CANCELLED
    ended = emkit("runs")
    assert ended.stdout.split("\t")[1] == "cancelled"
    assert emkit(*FOLLOW, "--until", "2").returncode == 0 and len(lines()) == 2


def test_ctrl_c_ends_it(sections: list[Path]) -> None:
    follower = started()
    until(is_running, lambda: [(one.id, one.said()) for one in all_runs()])
    follower.send_signal(signal.SIGINT)
    _, told = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 130 and run().state is State.CANCELLED, told


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (RECIPE.replace("[follow]", "[x]"), FOLLOW, "x is not known here"),
        (RECIPE.partition("[follow]")[0] + 'source = "s.tif"\n', FOLLOW, "needed: [follow]"),
        (RECIPE, ("follow", "r.toml", "--folder", "no"), "--folder: no is no folder"),
        (RECIPE.replace("checks/", "no/"), FOLLOW, "make it first"),
        (RECIPE.replace("checks/{stem}.csv", "in/{stem}.tif"), FOLLOW, "would be followed itself"),
        (RECIPE.replace('"source"', '"out"'), FOLLOW, "out reads no file"),
        (RECIPE, ("run", "r.toml"), "emkit follow r.toml --folder"),
        (RECIPE, (*FOLLOW, "--on", "mars"), "on: found 'mars'"),
    ],
)
def test_what_is_refused(text: str, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.toml").write_text(text)
    assert main(list(words)) == 3 and said in capsys.readouterr().err and not all_runs()


def test_a_section_is_montaged_once_all_its_tiles_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Tiles come slowly, into a folder a section; the last section stays incomplete."""
    Path("r.toml").write_text(MONTAGE)
    tiles = Cut(1, 2).tiles
    follower = started("--idle", "3")
    for section in ("z0", "z1", "z2"):
        (folder := Path("in", section)).mkdir()
        for column, tile in enumerate(tiles[: 1 if section == "z2" else 2]):
            time.sleep(0.6)  # a microscope's pause, longer than the settle time
            imwrite(folder / f"r0_c{column}.tif", tile)
    told, refused = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 0, refused
    assert "2 items done" in told and "Incomplete: z2 (1 of 2 missing)" in told
    assert [(one["item"], one["state"]) for one in lines()] == [("z0", "done"), ("z1", "done")]
    assert sorted(path.name for path in Path("checks").iterdir()) == ["z0", "z1"]
    assert json.loads(Path("checks/z1/montage.json").read_text())["sections"][0]["files"] == ["r0_c0.tif", "r0_c1.tif"]
    imwrite("in/z2/r0_c1.tif", tiles[1])
    assert main([*FOLLOW, "--until", "3"]) == 0 and Path("checks/z2/montage.json").exists()
    Path("r.toml").write_text(RECIPE + "files = 2\n")
    assert main([*FOLLOW]) == 3 and "takes files; needed: a parameter that takes folders" in capsys.readouterr().err


def test_sections_whose_tiles_come_into_one_folder_are_told_by_their_names() -> None:
    """Those of two sections come in turn; one of the third is missing, and no tile of its own belongs to any."""
    Path("r.toml").write_text(IN_ONE)
    Path("apart").mkdir()
    tiles = Cut(1, 2).tiles
    for section, column in (("07", 0), ("08", 0), ("07", 1), ("08", 1), ("09", 0)):
        imwrite(f"in/s{section}_c{column}.tif", tiles[column])
    Path("in/overview.tif").write_bytes(b"no tile")
    assert main([*FOLLOW, "--until", "2"]) == 0
    assert sorted((one["item"], one["state"]) for one in lines()) == [("07", "done"), ("08", "done")]
    out = Path("checks/08")
    assert json.loads((out / "montage.json").read_text())["sections"][0]["files"] == ["s08_c0.tif", "s08_c1.tif"]
    assert verify(out).whole and imread(out / "section_08.tif").shape[1] > SIDE
    imwrite("in/s09_c1.tif", tiles[1])
    assert main([*FOLLOW, "--until", "3"]) == 0 and len(lines()) == 3
    assert sorted(path.name for path in Path("apart/09").iterdir()) == ["s09_c0.tif", "s09_c1.tif"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("{section}", "7", "found no {section}"),
        ("files = 2", "", "needed: how many tiles make a section"),
        ('into = "apart"', "", "follow.into is missing"),
        ('into = "apart"', 'into = "no"', "make it first"),
        ('into = "apart"', 'into = "in"', "needed: a folder of its own"),
        ('into = "apart"', 'into = "old"', "links to"),
        ("checks/", "apart/", "would be followed itself"),
    ],
)
def test_sections_of_one_folder_are_refused(before: str, now: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("apart", "old/07"):
        Path(folder).mkdir(parents=True)
    Path("old/07/s07_c0.tif").symlink_to(Path("elsewhere/s07_c0.tif").absolute())
    Path("r.toml").write_text(IN_ONE.replace(before, now))
    assert main([*FOLLOW]) == 3 and said in capsys.readouterr().err and not all_runs()
