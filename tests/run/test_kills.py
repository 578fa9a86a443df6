"""A real alignment that is killed at any moment ends with the bytes of one that nobody disturbed, and does nothing twice."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psutil
import pytest

from emkit.run.folder import RunFolder, State
from tests.run.fire import PATIENCE_S, Alignment, family, seeds

KILLS = 50
VICTIMS = ("worker", "nursery", "driver", "node")


def kill(victim: str, driver: "subprocess.Popen[str]", draw: random.Random) -> bool:
    """Whether there was somebody to kill."""
    if driver.poll() is not None:
        return False
    if victim == "node":  # all of it at once
        os.killpg(driver.pid, signal.SIGKILL)
        return True
    living = family(driver)[victim]
    with suppress(psutil.NoSuchProcess):
        if living:
            draw.choice(living).kill()
            return True
    return False


def ended(driver: "subprocess.Popen[str]") -> int:
    driver.communicate(timeout=PATIENCE_S)
    return driver.returncode


def go_on(run: Alignment, draw: random.Random) -> "subprocess.CompletedProcess[str]":
    """Like somebody who finds it cut off: `resume`, or the same command once more, which only refuses where it was through."""
    if (folder := run.folder()) is not None and (draw.random() < 0.5 or RunFolder(folder).state is State.DONE):
        return run.call("resume", str(run.out))
    return run.call()


def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    undisturbed: Alignment, phantom: Path, tmp_path: Path, campaign: bool, record_property: Any
) -> None:
    tasks, counted = len(undisturbed.lines()), Counter[str]()
    for seed in seeds(campaign, 3, KILLS):
        draw, victim = random.Random(seed), VICTIMS[seed % len(VICTIMS)]
        (home := tmp_path / str(seed)).mkdir()
        run = Alignment(phantom, home / undisturbed.out.name, home / "runs")
        with run.start() as driver:
            run.after(moment := draw.randrange(-1, tasks + 1), driver)
            time.sleep(draw.uniform(0, 2.0 if moment <= 0 else 0.3))  # anywhere between two tasks, and while it starts
            hit = kill(victim, driver, draw)
            code = ended(driver)
        told = f"seed {seed}: {victim} killed after {moment} of {tasks} tasks"
        before, done = run.files(), run.lines()
        if code:
            assert victim in ("driver", "node"), (told, code)
            again = go_on(run, draw)
            assert again.returncode == 0, (told, again.stderr)
        assert run.digest() == undisturbed.digest(), told
        twice = [key for key, n in Counter((line["stage"], line["task"]) for line in run.lines()).items() if n > 1]
        assert not twice and len(run.lines()) == tasks, (told, twice)
        kept = {name for line in done for name in line["result"].get("files", ())}
        stats = {path.relative_to(run.out).as_posix(): path.stat() for path in run.out.rglob("*")}
        assert all(before[name] == (stats[name].st_ino, stats[name].st_mtime_ns) for name in kept & before.keys()), told
        counted += Counter({"attempts": 1, "kills": hit, "resumed": bool(code), "tasks kept": len(done) if code else 0})
        counted += Counter({f"{victim}s killed": hit, "tasks done after": tasks - len(done) if code else 0})
    record_property("counted", dict(counted))
    print(dict(counted))


CONTENDER = """
import sys
from emkit import runs
from emkit.errors import EmkitError
from emkit.run import drive
from emkit.steps import aligning
print("ready", flush=True)
sys.stdin.readline()
try:
    runs.drive(runs.find_run(sys.argv[1]))
except EmkitError as refused:
    print(f"refused: {refused}", flush=True)
else:
    print("done", flush=True)
"""


class Contender:
    """A process that has imported all and waits for the word."""

    def __init__(self, out: str, environment: dict[str, str]) -> None:
        command = [sys.executable, "-c", CONTENDER, out]
        self.process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment)
        assert self.process.stdout
        self.answers = self.process.stdout

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("races", [pytest.param(2, id="sample"), pytest.param(50, id="all", marks=pytest.mark.campaign)])
def test_of_two_that_go_on_with_a_run_at_once_one_is_refused(undisturbed: Alignment, alignment: Alignment, races: int) -> None:
    with alignment.start() as driver:
        alignment.after(1, driver)
        kill("node", driver, random.Random(0))
        ended(driver)
    environment = {**os.environ, "EMKIT_RUNS_DIR": str(alignment.runs)}
    for race in range(races):
        both = [Contender(str(alignment.out), environment) for _ in range(2)]
        assert [one.answers.readline() for one in both] == ["ready\n"] * 2
        for one in both:
            one.go()
        ready, _, _ = select.select([one.answers for one in both], [], [], PATIENCE_S)
        told = [one.answers.readline() for one in both if one.answers in ready]
        assert len(told) == 1, (race, told)  # the other one drives it now
        assert "another run is writing" in told[0] or "is driven already" in told[0], (race, told)
        for one in both:
            one.end()
    assert alignment.call("resume", str(alignment.out)).returncode == 0
    assert alignment.digest() == undisturbed.digest()
