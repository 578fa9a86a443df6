"""A folder of one's own for each test, command lines as people type them, and conditions to wait for."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 90.0
EMKIT = [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())"]


def emkit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EMKIT, *words], capture_output=True, text=True, timeout=PATIENCE_S)


def until(holds: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Returns once the condition holds; fails with what is told if it never does."""
    last = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < last, told()
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
