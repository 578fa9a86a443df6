"""A folder of data of its own for each test, and runs that do not outlive it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emkit.catalogue import Catalogue
from emkit.run.folder import RunFolder, State

PATIENCE_S = 120


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("EMKIT_SCANS", raising=False)
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "data").mkdir()
    yield folder
    for run in (tmp_path / "runs").glob("*-*"):
        if RunFolder(run).state in (State.STARTING, State.RUNNING):
            os.kill(RunFolder(run).said()["pid"], signal.SIGKILL)


@pytest.fixture
def catalogue(data: Path) -> Iterator[Catalogue]:
    made = Catalogue(data)
    yield made
    made.close()


def until(condition: Callable[[], object], what: str) -> None:
    last = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < last, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)
