"""A run that is driven on another machine, over a file system that carries no locks: its host and its heartbeat tell."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

import emkit
from emkit.errors import PathError
from emkit.run.afar import SILENT_S, beating, is_mine
from emkit.run.drive import begin, execute
from emkit.run.folder import RunFolder, State
from emkit.run.output import note_of
from emkit.run.step import bind


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """One that another machine has begun, just now."""
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    folder = begin(bind(emkit.make_phantom, out=Path("raw"), sections=2, size_px=64), overwrite=False)
    folder.say(State.RUNNING, pid=1)
    (folder.path / "lock").touch()
    move(folder, "elsewhere")
    return folder


def move(folder: RunFolder, host: str) -> None:
    """Another machine has said the state."""
    said = json.loads((folder.path / "state.json").read_text())
    (folder.path / "state.json").write_text(json.dumps({**said, "host": host}))


def hush(folder: RunFolder) -> None:
    """Its driver has been silent for longer than anybody waits."""
    then = time.time() - 2 * SILENT_S
    os.utime(folder.path / "lock", (then, then))


def test_a_run_that_beats_elsewhere_is_driven(run: RunFolder) -> None:
    assert run.said()["state"] == "running" and run.said()["message"] == ""
    with pytest.raises(PathError, match="is driven already"):
        run.lock()


def test_silence_is_told_but_ends_nothing(run: RunFolder) -> None:
    hush(run)
    assert (found := run.said())["state"] == "running" and "no sign of life from elsewhere for" in found["message"]
    with pytest.raises(PathError, match="If that machine is gone for good, remove .*lock and resume"):
        run.lock()
    (run.path / "lock").unlink()
    assert run.state is State.INTERRUPTED
    os.close(run.lock())


def test_on_its_own_machine_the_lock_alone_tells(run: RunFolder) -> None:
    move(run, socket.gethostname())
    assert run.state is State.INTERRUPTED


def test_another_run_onto_its_output_is_refused(run: RunFolder, tmp_path: Path) -> None:
    note_of(tmp_path / "raw").write_text(str(run.path))
    other = bind(emkit.make_phantom, out=Path("raw"), sections=3, size_px=64)
    with pytest.raises(PathError, match=f"out: run {run.id} is writing raw now"):
        execute(other)
    move(run, socket.gethostname())
    execute(other)
    assert (tmp_path / "raw").is_dir()


def test_a_driver_beats(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emkit.run.afar.BEAT_S", 0.01)
    hush(run)
    with (run.path / "lock").open("rb+") as lock, beating(lock.fileno()):
        hush(run)
        while time.time() - (run.path / "lock").stat().st_mtime > SILENT_S:
            time.sleep(0.01)


def test_a_job_knows_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert is_mine({"id": "12", "slurm_conf": ""}) and not is_mine({"id": "13", "slurm_conf": ""}) and not is_mine(None)
