"""Runs that outlive who began them: begun, watched, cancelled, killed, resumed, from command lines as people type them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emkit.provenance import digest
from emkit.run.folder import RunFolder, State
from emkit.runs import find_run

PATIENCE_S = 60.0
PHANTOM = ("make-phantom", "--sections", "30", "--size-px", "256")


def emkit(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def until(run: RunFolder, *states: State) -> State:
    last = time.monotonic() + PATIENCE_S
    while (state := run.state) not in states:
        assert time.monotonic() < last, (state, run.log.read_text())
        time.sleep(0.02)
    return state


def at_work(run: RunFolder) -> int:
    """Waits until the first task is done; the driver's number."""
    last = time.monotonic() + PATIENCE_S
    while not run.journal.exists() or run.journal.read_text().count("\n") < 2:
        assert time.monotonic() < last and run.state in (State.STARTING, State.RUNNING), run.log.read_text()
        time.sleep(0.02)
    return int(run.said()["pid"])


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))


@pytest.fixture
def run() -> RunFolder:
    begun = emkit(*PHANTOM, "-o", "sections", "--detach")
    assert begun.returncode == 0, begun.stderr
    return find_run("last")


def test_a_detached_run_is_watched_to_its_end(run: RunFolder) -> None:
    watched = emkit("watch", "last")
    assert (watched.returncode, watched.stdout) == (0, f"Written: {Path.cwd() / 'sections'}\n"), watched.stderr
    assert "draw: 30 of 30 sections" in watched.stderr and len(list(Path("sections").glob("*.tif"))) == 30
    again = emkit("resume", "last")
    assert again.returncode == 0 and "is done" in again.stdout
    listed = emkit("runs")
    assert listed.stdout == f"{run.id}\tdone\t{Path.cwd() / 'sections'}\n"
    (known,) = json.loads(emkit("runs", "--json").stdout)
    assert known["id"] == run.id and known["used"]["disk_bytes"] > 0 and known["plan"]["memory_bytes"] > 0


def test_cancel_is_heard_and_the_run_can_be_resumed(run: RunFolder) -> None:
    os.kill(driver := at_work(run), signal.SIGSTOP)  # or it may be through before the command has started
    asked = emkit("cancel", str(Path("sections")))
    os.kill(driver, signal.SIGCONT)
    assert asked.returncode == 0 and "emkit resume" in asked.stdout
    began_s = time.monotonic()
    assert until(run, State.CANCELLED, State.DONE) is State.CANCELLED
    assert time.monotonic() - began_s < 10  # 2 on a quiet machine: see benchmarks
    assert emkit("watch", run.id).returncode == 130 and not Path("sections").exists()
    finished = run.journal.read_text().splitlines()
    assert emkit("resume", run.id[:20]).returncode == 0
    assert run.journal.read_text().splitlines()[: len(finished)] == finished
    assert emkit(*PHANTOM, "-o", "undisturbed").returncode == 0
    assert digest(Path("sections")) == digest(Path("undisturbed"))


def test_cancel_while_it_starts(run: RunFolder) -> None:
    assert emkit("cancel", "last").returncode == 0
    assert until(run, State.CANCELLED, State.DONE) is State.CANCELLED


def test_a_killed_run_is_told_from_a_living_one_and_resumed_detached(run: RunFolder) -> None:
    os.kill(at_work(run), signal.SIGKILL)
    until(run, State.INTERRUPTED)
    watched = emkit("watch", run.id)
    assert watched.returncode == 3 and f"emkit resume {run.id}" in watched.stderr
    assert emkit("resume", run.id, "--detach").returncode == 0
    assert until(run, State.DONE, State.FAILED) is State.DONE
    assert emkit(*PHANTOM, "-o", "undisturbed").returncode == 0
    assert digest(Path("sections")) == digest(Path("undisturbed"))


def test_the_bar_of_a_resumed_run_goes_on_where_it_ended(run: RunFolder) -> None:
    os.kill(at_work(run), signal.SIGKILL)
    until(run, State.INTERRUPTED)
    finished, (_, told) = run.journal.read_text().count("\n") - 1, run.stages()
    resumed = emkit("resume", run.id)
    assert resumed.returncode == 0 and "draw: 30 of 30 sections" in resumed.stderr
    first, *_, last = run.events(told)[0]
    assert (first.done, first.total, first.before, last.done) == (finished, 30, finished, 30)
    assert last.rate == pytest.approx((30 - finished) / last.seconds)


def test_two_drivers_are_one_too_many(run: RunFolder) -> None:
    driver = at_work(run)
    os.kill(driver, signal.SIGSTOP)  # so that it cannot be done in between
    second = emkit("resume", run.id)
    assert second.returncode == 3 and "another run is writing" in second.stderr
    third = emkit(*PHANTOM, "-o", "sections", "--overwrite")
    assert third.returncode == 3 and "another run is writing" in third.stderr
    os.kill(driver, signal.SIGCONT)
    assert until(run, State.DONE, State.FAILED) is State.DONE


def test_the_same_call_goes_on_with_a_killed_run(run: RunFolder) -> None:
    os.kill(at_work(run), signal.SIGKILL)
    until(run, State.INTERRUPTED)
    assert emkit(*PHANTOM, "-o", "sections").returncode == 0
    assert run.state is State.DONE and find_run("last") == run


def test_what_cannot_be_is_refused_before_it_is_detached() -> None:
    refused = emkit("make-phantom", "-o", "no/sections", "--detach")
    assert refused.returncode == 3 and "make it first" in refused.stderr and not Path("runs").exists()


@pytest.mark.parametrize("name", ["nothing", "2", ""])
def test_a_run_that_is_none(run: RunFolder, name: str) -> None:
    emkit("cancel", "last")
    until(run, State.CANCELLED, State.DONE)
    if name == "nothing":
        refused = emkit("watch", name)
        assert refused.returncode == 3 and "none of the 1 runs" in refused.stderr and "emkit runs" in refused.stderr
    else:
        assert find_run(name) == run  # the beginning of the only one


def test_every_damage_is_found() -> None:
    assert emkit("make-phantom", "-o", "sections", "--sections", "4", "--size-px", "64").returncode == 0
    whole = emkit("verify", "sections")
    assert whole.returncode == 0 and "whole, 6 files" in whole.stdout
    first, second, third, _ = sorted(Path("sections").glob("*.tif"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-1])
    third.unlink()
    Path("sections/more").touch()
    told = emkit("verify", "sections")
    assert told.returncode == 4
    assert told.stdout.splitlines() == [
        "sections: 4 of 7 files are not what their record says.",
        "  more: not of this run", f"  {first.name}: damaged", f"  {second.name}: damaged", f"  {third.name}: missing",
    ]  # fmt: skip


def test_a_manifest_that_was_changed_proves_nothing() -> None:
    assert emkit("make-phantom", "-o", "sections", "--sections", "2", "--size-px", "64").returncode == 0
    listing = Path("sections/manifest.sha256")
    listing.write_text(listing.read_text().replace("a", "b"))
    told = emkit("verify", "sections")
    assert told.returncode == 4 and "nothing can be checked" in told.stderr
    assert emkit("verify", ".").returncode == 3
