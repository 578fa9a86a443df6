"""What a run promises whatever happens around it: cancels, clocks, orders, power cuts, readers who come too early."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import emkit
from emkit.errors import PathError
from emkit.progress import Tick
from emkit.provenance import digest
from emkit.run.drive import execute
from emkit.run.folder import EVENTS_BYTES, RunFolder, State, _Scribe
from emkit.run.stage import Journal
from emkit.run.step import bind
from emkit.runs import all_runs
from tests.run.fire import BEFORE_BLOCKS, COMMAND, PATIENCE_S, Alignment, seeds

CANCELS = 50


def test_cancelled_at_any_moment_it_can_be_resumed(
    undisturbed: Alignment, phantom: Path, tmp_path: Path, campaign: bool, record_property: Any
) -> None:
    counted, waits = Counter[str](), list[float]()
    for seed in seeds(campaign, 2, CANCELS):
        draw = random.Random(seed)
        (home := tmp_path / str(seed)).mkdir()
        run = Alignment(phantom, home / undisturbed.out.name, home / "runs")
        with run.start() as driver:
            run.after(moment := draw.randrange(len(undisturbed.lines()) - 3), driver)
            time.sleep(draw.uniform(0, 0.3))
            asked = time.monotonic()
            if draw.random() < 0.5:
                driver.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
            else:
                RunFolder(run.folder() or home).ask_to_cancel()  # what `emkit cancel` does
            driver.communicate(timeout=PATIENCE_S)
        if driver.returncode:
            waits.append(time.monotonic() - asked)
            assert (driver.returncode, run.state()) == (130, State.CANCELLED), (seed, moment)
            done = len(run.lines())
            assert run.call("resume", str(run.out)).returncode == 0
            counted["tasks kept"] += done
        assert run.digest() == undisturbed.digest() and len(run.lines()) == len(undisturbed.lines()), (seed, moment)
        counted += Counter({"attempts": 1, "cancelled": bool(driver.returncode)})
    record_property("counted", dict(counted))
    record_property("seconds to the end", [round(wait, 2) for wait in waits])
    print(dict(counted), "ended after at most", round(max(waits, default=0), 2), "s")


def test_cancelled_twice_and_before_its_first_task(undisturbed: Alignment, alignment: Alignment) -> None:
    begun = alignment.call(*alignment.words, "--detach")
    assert begun.returncode == 0, begun.stderr
    for _ in range(2):
        assert alignment.call("cancel", "last").returncode == 0
    assert alignment.call("watch", "last").returncode == 130 and alignment.state() == State.CANCELLED
    assert not alignment.lines()
    assert alignment.call("resume", "last").returncode == 0
    again = alignment.call("resume", "last")
    assert again.returncode == 0 and "is done" in again.stdout
    assert alignment.digest() == undisturbed.digest()


@pytest.mark.parametrize("jump", ["+400d", pytest.param("-400d", marks=pytest.mark.campaign)])
def test_a_clock_that_jumps(undisturbed: Alignment, alignment: Alignment, jump: str) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    (clock := alignment.runs.parent / "clock").write_text("+0")
    told = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    told["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"  # as a clock that is set: the time since the machine's start goes on
    with alignment.start(**told) as driver:
        alignment.after(2, driver)
        clock.write_text(jump)
        _, said = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said
    assert alignment.digest() == undisturbed.digest()
    folder = RunFolder(alignment.folder() or alignment.runs)
    ticks, _ = folder.events()
    assert all(0 <= tick.seconds < PATIENCE_S and tick.rate >= 0 for tick in ticks) and ticks[-1].fraction == 1.0
    action = next(e for e in json.loads((alignment.out / "ro-crate-metadata.json").read_text())["@graph"] if e["@id"] == "#run")
    assert action["startTime"] < action["endTime"]
    again = alignment.call(*alignment.words, "--overwrite", **told)
    assert again.returncode == 0, again.stderr
    first, second = sorted(path.name for path in alignment.runs.iterdir())
    assert first == folder.id  # `last` is the one that began last
    listed = alignment.call("runs", "--json")
    assert [run["id"] for run in json.loads(listed.stdout)] == [first, second], listed.stderr


def test_any_number_of_workers_and_any_size_of_a_batch(
    undisturbed: Alignment, phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers, batch in ((1, 1), (2, 64), (5, 2)):
        monkeypatch.setattr("emkit.run.executor.LARGEST_BATCH", batch)
        call = bind(emkit.align_sections, phantom, out=tmp_path / f"{workers}", voxel_size_nm=(45, 4.6, 4.6))
        execute(call, workers=workers, home=tmp_path / "runs")
        assert digest(tmp_path / f"{workers}") == undisturbed.digest()


def test_nobody_takes_a_volume_that_is_being_made_for_a_whole_one(alignment: Alignment, tmp_path: Path) -> None:
    with alignment.start() as driver:
        alignment.after(BEFORE_BLOCKS + 2, driver)
        driver.kill()
        driver.communicate()
    built = alignment.out.with_name(f"unfinished-{alignment.out.name}")
    with pytest.raises(PathError, match=f"is not finished.*emkit resume {alignment.out}"):
        emkit.open_volume(built)
    refused = alignment.call("measure-alignment", str(built), "-o", str(tmp_path / "table.csv"))
    assert refused.returncode == 3 and f"emkit resume {alignment.out}" in refused.stderr
    shutil.copytree(built, other := tmp_path / "unfinished-business")  # a name alone is no proof
    assert emkit.open_volume(other).ndim == 3


@pytest.mark.parametrize("again", [lambda run: ("resume", str(run.out)), lambda run: run.words], ids=["resume", "same call"])
def test_what_a_kill_left_to_do_after_the_last_move(alignment: Alignment, again: Callable[[Alignment], tuple[str, ...]]) -> None:
    """The output took its place, and nobody could say so any more: neither the work nor the move is done again."""
    assert alignment.call().returncode == 0
    folder = RunFolder(alignment.folder() or alignment.runs)
    folder.say(State.RUNNING)
    note = alignment.out.with_name(f"unfinished-{alignment.out.name}.run")
    note.write_text(str(folder.path))
    before = {path: path.stat().st_mtime_ns for path in alignment.out.rglob("*")}
    (left := alignment.out.with_name(f"unfinished-{alignment.out.name}")).mkdir()  # what stood there before
    resumed = alignment.call(*again(alignment))
    assert resumed.returncode == 0 and folder.state is State.DONE, resumed.stderr
    assert before == {path: path.stat().st_mtime_ns for path in alignment.out.rglob("*")}
    assert not left.exists() and not note.exists()


def test_a_journal_is_read_up_to_where_it_is_whole(tmp_path: Path) -> None:
    line = '{"stage": "a", "task": "1", "result": 1}\n'
    for ends in ('{"stage": "a", "task": "2', "\0" * 40 + "}\n" + line, '{"stage": "a", "ta\n', "\udcff}\n"):
        (path := tmp_path / "journal").write_text("who\n" + line + ends, errors="surrogateescape")
        with path.open("a+", errors="replace") as file:
            journal = Journal(file, "who")
            assert journal.resumed and journal.found == {"a": {"1": "1"}}
            file.write(line)
        assert path.read_text() == "who\n" + line + line
    with path.open("a+", errors="replace") as file:
        assert not Journal(file, "somebody else").resumed
    assert path.read_text() == "somebody else\n"


def test_what_is_told_of_progress_does_not_grow_without_bound(tmp_path: Path) -> None:
    folder, scribe = RunFolder(tmp_path), _Scribe(tmp_path / "events.jsonl")
    offset = 0
    for k in range(60_000):
        scribe(Tick(f"stage {k}", k, 10**5, "blocks", float(k)))  # each the first of its stage, so that all are written
        if k % 7000 == 0:
            ticks, offset = folder.events(offset)
            assert not ticks or ticks[-1].done == k  # who reads while it is thinned sees what comes after
    assert (tmp_path / "events.jsonl").stat().st_size <= EVENTS_BYTES
    ticks, _ = folder.events()
    assert [tick.done for tick in ticks] == sorted(tick.done for tick in ticks) and ticks[-1].done == 59_999
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"what": "cut by a k')
    _Scribe(tmp_path / "events.jsonl")(Tick("after", 1, 1, "blocks", 1.0))
    assert folder.events()[0][-1].what == "after"


def test_the_order_of_runs_is_that_of_their_beginnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path))
    made = [RunFolder.new("", {"step": name, "out": None, "plan": {}}).id for name in "zayxb" * 4]  # several a millisecond
    assert [run.id for run in all_runs()] == made


def test_what_counts_as_done_is_on_the_disk(alignment: Alignment) -> None:
    """Each file and its name are synced before its digest stands in the journal, and all of it before it takes its place."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: it tells the order of what is written and synced")
    trace = alignment.runs.parent / "trace"
    told = ["strace", "-f", "-y", "-s", "100000", "-o", str(trace), "-e", "trace=fsync,write,rename,renameat2"]
    environment = {**os.environ, "EMKIT_RUNS_DIR": str(alignment.runs)}
    done = subprocess.run([*told, *COMMAND, *alignment.words], capture_output=True, text=True, timeout=PATIENCE_S, env=environment)
    assert done.returncode == 0, done.stderr
    built = alignment.out.with_name(f"unfinished-{alignment.out.name}")
    synced, checked, placed = set[str](), 0, False
    for line in trace.read_text().splitlines():
        if found := re.search(r"fsync\(\d+<([^>]*)>", line):
            synced.add(found[1])
        elif "journal.jsonl>" in line:
            for name in re.findall(r'\\"([^"\\]+)\\": \\"[0-9a-f]{64}', line):
                assert {str(built / name), str((built / name).parent)} <= synced, name
                checked += 1
        elif re.search(rf'rename\w*\(.*"{re.escape(str(built))}"', line):
            placed, synced_then = True, set(synced)
            synced.discard(str(alignment.out.parent))
    assert checked == 4 * 4 + 1 and placed  # four blocks in four levels, one block of the last
    files = [path.relative_to(alignment.out) for path in alignment.out.rglob("*")]
    assert {str(built / path) for path in files} <= synced_then
    assert str(alignment.out.parent) in synced  # after the move
