"""A shared file system that lies: files of others that show late, moves that are done and said to have failed, stale handles."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.run.fire import Alignment

SOURCE = Path(__file__).with_name("late_files.c")
LATE_MS = 500


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands between a program and its files. Skipped where nothing compiles C."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("there is no C compiler (cc) to make the file proxy with")
    made = tmp_path_factory.mktemp("proxy") / "late_files.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-ldl"], check=True)
    return made


@pytest.mark.parametrize("times", [pytest.param(1, id="sample"), pytest.param(20, id="all", marks=pytest.mark.campaign)])
def test_the_same_bytes_come_through_a_file_system_that_lies(
    proxy: Path, undisturbed: Alignment, phantom: Path, tmp_path: Path, times: int, record_property: Any
) -> None:
    counted = Counter[str]()
    for time in range(times):
        (home := tmp_path / f"shared{time}").mkdir()
        (notes := tmp_path / f"notes{time}").mkdir()
        run = Alignment(phantom, home / undisturbed.out.name, home / "runs")
        told = {"LATE_ROOT": f"{home}/", "LATE_NOTES": str(notes), "LATE_MS": str(LATE_MS), "LATE_STALE": "emkit.run.worker"}
        done = run.call(LD_PRELOAD=str(proxy), **told)
        assert done.returncode == 0, done.stderr
        assert run.digest() == undisturbed.digest()
        assert len(run.lines()) == len(undisturbed.lines())
        troubles = Counter((notes / "troubles").read_text())
        assert set(troubles) == set("lrs"), troubles  # each kind was met
        counted += troubles
    record_property("counted", dict(counted))
    print(dict(counted))
