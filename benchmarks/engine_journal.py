"""The journal of a run: an append-only file of lines, as it is, beside SQLite, with the same content and the same promise.

    python -m benchmarks.engine_journal [--lines 100000] [--safe 200] [--rounds 3] [--kills 5] [--folder FOLDER] [--json FILE]

Promised is that what a driver has noted outlives the driver, killed at any moment: a line is handed to the operating system before
the next task is dealt. SQLite does the same in WAL mode, a transaction a line, with synchronous=NORMAL, which waits for the disk at
its checkpoints only. `safe` is the dearer promise that a line outlives a power cut too: a wait for the disk after each (fsync,
synchronous=FULL). The journal does not make it: a block is on the disk before its line, so a lost line costs that block again.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EACH_S = 0.05  # how often a reader looks
FORK = get_context("fork")


def result(k: int) -> str:
    return json.dumps({"files": {f"0/c/{k // 400}/{k // 20 % 20}/{k % 20}": DIGEST}})


class Journal(Protocol):
    def note(self, key: str, text: str) -> None: ...

    def read(self) -> dict[str, Any]: ...

    def count(self) -> int: ...


class Lines:
    """As emkit.run.stage.Journal writes and reads."""

    def __init__(self, path: Path, safe: bool = False) -> None:
        self.path, self.safe, self.file = path / "journal.jsonl", safe, (path / "journal.jsonl").open("a")

    def note(self, key: str, text: str) -> None:
        self.file.write(f'{{"stage": "render", "task": "{key}", "result": {text}}}\n')
        self.file.flush()
        if self.safe:
            os.fdatasync(self.file.fileno())

    def read(self) -> dict[str, Any]:
        with self.path.open() as file:
            whole = (json.loads(line) for line in file if line.endswith("}\n"))
            return {line["task"]: line["result"] for line in whole}

    def count(self) -> int:
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0


class Sqlite:
    """One table, a transaction for each task."""

    def __init__(self, path: Path, safe: bool = False) -> None:
        self.database = sqlite3.connect(path / "journal.sqlite", isolation_level=None, timeout=10)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute(f"PRAGMA synchronous={'FULL' if safe else 'NORMAL'}")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS tasks (stage TEXT, task TEXT, result TEXT, PRIMARY KEY (stage, task)) WITHOUT ROWID"
        )

    def note(self, key: str, text: str) -> None:
        self.database.execute("INSERT INTO tasks VALUES ('render', ?, ?)", (key, text))

    def read(self) -> dict[str, Any]:
        return {key: json.loads(text) for key, text in self.database.execute("SELECT task, result FROM tasks")}

    def count(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM tasks").fetchone()[0])


WAYS: dict[str, Callable[..., Journal]] = {"lines": Lines, "sqlite": Sqlite}


def look(way: str, folder: Path, end: Event, told: "Connection[int, int]") -> None:
    """A reader beside the writer, as watchers are: how often it could look."""
    journal, looks = WAYS[way](folder), 0
    while not end.wait(EACH_S):
        journal.count()
        looks += 1
    told.send(looks)


def measure(way: str, folder: Path, lines: int, safe: int) -> dict[str, float]:
    texts = [(str(k), result(k)) for k in range(lines)]
    alone, beside, sure = (folder / name for name in ("alone", "beside", "sure"))
    for one in (alone, beside, sure):
        one.mkdir(parents=True)
    took = write(WAYS[way](alone), texts)
    began = time.perf_counter()
    if len(WAYS[way](alone).read()) != lines:
        raise SystemExit(f"{way}: not all was read back")
    read_s = time.perf_counter() - began
    size = sum(file.stat().st_size for file in alone.iterdir())
    end, (ours, theirs) = FORK.Event(), FORK.Pipe()
    reader = FORK.Process(target=look, args=(way, beside, end, theirs))
    journal = WAYS[way](beside)
    reader.start()
    beside_s = write(journal, texts)
    end.set()
    looks = ours.recv()
    reader.join()
    sure_s = write(WAYS[way](sure, safe=True), texts[:safe])
    shutil.rmtree(folder)
    return {
        "write_us": took / lines * 1e6, "beside_a_reader_us": beside_s / lines * 1e6, "looks": looks,
        "read_s": read_s, "mb": size / 1e6, "safe_us": sure_s / safe * 1e6,
    }  # fmt: skip


def write(journal: Journal, texts: list[tuple[str, str]]) -> float:
    began = time.perf_counter()
    for key, text in texts:
        journal.note(key, text)
    return time.perf_counter() - began


def note_for_ever(way: str, folder: Path, told: "Connection[int, int]") -> None:
    journal, k = WAYS[way](folder), 0
    while True:
        journal.note(str(k), result(k))
        told.send(k)
        k += 1


def lost(way: str, folder: Path, after: int) -> int:
    """How many lines that were noted are gone after the writer was killed; the rest must be whole."""
    folder.mkdir()
    ours, theirs = FORK.Pipe(duplex=False)
    writer = FORK.Process(target=note_for_ever, args=(way, folder, theirs))
    writer.start()
    theirs.close()
    while (last := ours.recv()) < after:
        continue
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    while ours.poll():  # what it said before it was killed
        try:
            last = ours.recv()
        except EOFError:
            break
    found = WAYS[way](folder).read()
    shutil.rmtree(folder)
    return sum(found.get(str(k)) != json.loads(result(k)) for k in range(last + 1))


def spread(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--safe", type=int, default=200, help="lines that wait for the disk each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    moments = random.Random(0)
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        for turn in range(given.rounds):
            for way in list(WAYS)[:: 1 if turn % 2 else -1]:
                found[way].append(measure(way, Path(scratch) / way, given.lines, given.safe))
        gone = {way: sum(lost(way, Path(scratch) / way, moments.randrange(1, 3000)) for _ in range(given.kills)) for way in WAYS}
    for way, rounds in found.items():
        column = {name: [one[name] for one in rounds] for name in rounds[0]}
        print(f"{way:6}  {spread(column['write_us'])} µs a line, {spread(column['beside_a_reader_us'])} beside a reader; "
              f"read back in {spread(column['read_s'], 2)} s; {column['mb'][0]:.1f} MB; safe {spread(column['safe_us'], 0)} µs; "
              f"{gone[way]} lines lost in {given.kills} kills")  # fmt: skip
    pairs = list(zip(found["lines"], found["sqlite"], strict=True))
    for what, name in {"to write": "write_us", "to write beside a reader": "beside_a_reader_us", "to read": "read_s"}.items():
        print(f"lines / sqlite, {what}: × {spread([ours[name] / theirs[name] for ours, theirs in pairs], 2)}")
    if given.json:
        given.json.write_text(json.dumps({"rounds": found, "lost": gone}, indent=1) + "\n")


if __name__ == "__main__":
    main()
