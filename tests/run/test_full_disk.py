"""A disk that fills up at any byte: one message, nothing half taken for whole, and the run goes on once there is room."""

import errno
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.run.fire import BEFORE_BLOCKS, PATIENCE_S, Alignment, seeds

DISK_BYTES = 16_000_000  # the plan fits
ATTEMPTS = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small and real. Skipped where nobody may mount one."""
    (place := tmp_path / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here (that takes root): {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path, left_bytes: int) -> Path:
    """Leave so much room; the file that takes the rest."""
    with (filler := disk / "filler").open("wb") as file:
        while True:
            stat = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, stat.f_bavail * stat.f_bsize - left_bytes))
                break
            except OSError as full:  # the run has written meanwhile
                if full.errno != errno.ENOSPC:
                    raise
    return filler


@pytest.mark.parametrize("full", ["output", "runs"])
def test_a_full_disk_is_told_and_the_run_goes_on_after_it(
    undisturbed: Alignment, phantom: Path, tmp_path: Path, disk: Path, campaign: bool, full: str, record_property: Any
) -> None:
    counted = Counter[str]()
    size = sum(path.stat().st_size for path in undisturbed.out.rglob("*")) if full == "output" else 12_000
    for seed in seeds(campaign, 1, ATTEMPTS):
        draw = random.Random(seed)
        places = {"output": tmp_path / f"out{seed}", "runs": tmp_path / f"runs{seed}", full: disk / str(seed)}
        places["output"].mkdir()
        run = Alignment(phantom, places["output"] / undisturbed.out.name, places["runs"])
        with run.start() as driver:
            run.after(0, driver)  # past the gate
            filler = fill(disk, left := int(size * draw.random()))
            _, message = driver.communicate(timeout=PATIENCE_S)
        told = f"seed {seed}, {left} bytes left: {message}"
        if driver.returncode:
            assert driver.returncode == 3, told
            last = message.strip().splitlines()[-1]
            assert "The disk is full in" in last and str(disk) in last and "MB are free" in last and "emkit resume" in last, told
            assert "Traceback" not in message and not run.out.exists(), told
        filler.unlink()
        done = len(run.lines())
        again = run.call("resume", str(run.out)) if driver.returncode else None
        assert again is None or again.returncode == 0, (told, again.stderr)
        assert run.digest() == undisturbed.digest(), told
        assert len(run.lines()) == len(undisturbed.lines()), told
        counted += Counter({"attempts": 1, "full": bool(driver.returncode), "tasks kept": done if driver.returncode else 0})
        shutil.rmtree(places[full])  # room for the next
    record_property("counted", dict(counted))
    print(full, dict(counted))


def test_a_run_that_finds_no_room_for_its_folder_says_so(phantom: Path, tmp_path: Path, disk: Path) -> None:
    fill(disk, 0)
    refused = Alignment(phantom, tmp_path / "aligned.ome.zarr", disk / "runs").call()
    assert refused.returncode == 3 and "EMKIT_RUNS_DIR" in refused.stderr and "Traceback" not in refused.stderr
    assert os.listdir(tmp_path) == ["disk"]


def test_the_gate_counts_what_is_written_already(undisturbed: Alignment, phantom: Path, tmp_path: Path, disk: Path) -> None:
    """A run that has half of its output can go on where all of it would not fit twice."""
    run = Alignment(phantom, disk / undisturbed.out.name, tmp_path / "runs")
    with run.start() as driver:
        run.after(BEFORE_BLOCKS + 3, driver)
        driver.kill()
        driver.communicate()
    fill(disk, int(1.4 * 6 * 560 * 560) - 200_000)  # less than the plan says
    again = run.call("resume", str(run.out))
    assert again.returncode == 0 and run.digest() == undisturbed.digest(), again.stderr
