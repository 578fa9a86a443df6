"""What grows with the blocks and the workers of a run: the driver's time and memory, the journal, what a resume reads.

    python -m benchmarks.engine_growth [--blocks 100000] [--workers 2 1000] [--folder FOLDER] [--json FILE]

The real journal and the real dealing, with simulated hands: workers that answer at once, and do nothing. So what is measured is the
driver alone; each row is a process of its own. docs/explanation/runs.md says what follows for 10⁷ blocks.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from emkit.progress import listening
from emkit.provenance import Written
from emkit.run.executor import Answer, Tasks, Work
from emkit.run.stage import Journal, Stage
from emkit.run.worker import Done

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
BATCH_S = 0.05
TASK_S = 1.0  # what a task is said to have taken: each travels alone


def block(name: str) -> Written:
    """What a task that writes one shard returns."""
    return Written({name: DIGEST})


class Simulated:
    """So many workers at once, each through with its batch when somebody asks."""

    batch_s, peak_bytes = BATCH_S, 0

    def __init__(self, size: int) -> None:
        self.size = size
        self.busy: deque[tuple[Work, Tasks]] = deque()

    def free(self) -> bool:
        return len(self.busy) < self.size

    def begin(self, work: Work, tasks: Tasks) -> None:
        self.busy.append((work, tasks))

    def answers(self, timeout_s: float) -> list[Answer]:
        work, tasks = self.busy.popleft()
        return [Done(key, work(*arguments), 0, TASK_S) for key, arguments in tasks.items()]

    def has_room(self, tasks: int) -> bool:
        return tasks <= self.size

    def end(self) -> None:
        self.busy.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def asked(blocks: int) -> Stage[Written]:
    names = ((f"{k // 400}-{k // 20 % 20}-{k % 20}", f"0/c/{k // 400}/{k // 20 % 20}/{k % 20}") for k in range(blocks))
    return Stage("render", block, {key: (name,) for key, name in names}, "blocks")


def simulate(path: Path, blocks: int, workers: int) -> dict[str, float]:
    """In a process of its own: a stage from its first task to its last, and a resume of it with nothing to do."""
    TypeAdapter(Written)  # so that its imports are not counted
    heard: list[int] = []
    before = peak_mib()
    with path.open("a+") as file, listening(lambda tick: heard.append(tick.done)):
        began = time.perf_counter()
        journal = Journal(file, "whose")
        stage = asked(blocks)
        tasks_mib = peak_mib() - before
        journal.execute(stage, Simulated(workers))
        took = time.perf_counter() - began
    memory = peak_mib() - before
    del journal
    with path.open("a+") as file:
        began = time.perf_counter()
        again = Journal(file, "whose")
        read = time.perf_counter() - began
        again.execute(stage, Simulated(workers))
        resumed = time.perf_counter() - began
    return {
        "blocks": blocks, "workers": workers, "us_a_task": took / blocks * 1e6, "tasks_mib": tasks_mib, "memory_mib": memory,
        "journal_mb": path.stat().st_size / 1e6, "read_s": read, "resume_s": resumed, "ticks": len(heard),
    }  # fmt: skip


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 1000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("PATH", "BLOCKS", "WORKERS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        path, blocks, workers = given.one
        print(json.dumps(simulate(Path(path), int(blocks), int(workers))))
        return
    rows: list[dict[str, Any]] = []
    for blocks in given.blocks:
        for workers in given.workers:
            with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
                one = ["--one", f"{scratch}/journal", str(blocks), str(workers)]
                argv = [sys.executable, "-m", "benchmarks.engine_growth", *one]
                rows.append(json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout))
            print(line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    """One row for people."""
    who = f"{row['blocks']:>9,} blocks, {row['workers']:>5,} workers"
    driver = f"{row['us_a_task']:.0f} µs a task, {1e6 / row['us_a_task']:,.0f} tasks/s"
    memory = f"memory {row['memory_mib']:,.0f} MiB (the tasks alone {row['tasks_mib']:,.0f})"
    again = f"journal {row['journal_mb']:,.0f} MB, read in {row['read_s']:.1f} s, resumed in {row['resume_s']:.1f} s"
    return f"{who}: {driver}, {memory}; {again}"


if __name__ == "__main__":
    main()
