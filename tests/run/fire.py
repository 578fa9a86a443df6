"""What the tests under fire share: a real alignment as a command, its processes, and what it did when."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from emkit.provenance import digest

COMMAND = (sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())")
PATIENCE_S = 120.0
LOOK_S = 0.005
ALIGN = ("--voxel-size-nm", "45", "4.6", "4.6")
SECTIONS, SIZE_PX = 6, 560  # five pairs, four blocks, and one block of a level that is built from those
BEFORE_BLOCKS = 35  # tasks: neighbours are matched, neighbours and next neighbours refined twice, sections looked at and decoded


def emkit(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    given = {**os.environ, **environment}
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S, env=given)


@dataclass(frozen=True)
class Alignment:
    """`emkit align-sections` of a phantom onto `out`, whose run is the only one below `runs`."""

    source: Path
    out: Path
    runs: Path

    @property
    def words(self) -> tuple[str, ...]:
        return ("align-sections", str(self.source), "-o", str(self.out), *ALIGN)

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        """In a process group of its own, as a node has its processes."""
        given = {**os.environ, "EMKIT_RUNS_DIR": str(self.runs), **environment}
        return subprocess.Popen(
            [*COMMAND, *self.words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=given, start_new_session=True
        )

    def call(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return emkit(*(words or self.words), EMKIT_RUNS_DIR=str(self.runs), **environment)

    def folder(self) -> Path | None:
        """That of its run, once there is one."""
        found = [path.parent for path in self.runs.glob("*/state.json")]
        return found[0] if found else None

    def state(self) -> str:
        folder = self.folder()
        return str(json.loads((folder / "state.json").read_text())["state"]) if folder else "none"

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of its journal: a task each, as often as it was finished."""
        folder = self.folder()
        journal = folder / "journal.jsonl" if folder else None
        text = journal.read_text() if journal and journal.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()[1:]]

    def after(self, tasks: int, driver: "subprocess.Popen[str]") -> None:
        """Wait until so many tasks are done, or the driver has ended."""
        last = time.monotonic() + PATIENCE_S
        while driver.poll() is None and (self.folder() is None or len(self.lines()) < tasks):
            assert time.monotonic() < last, f"{tasks} tasks are not done within {PATIENCE_S} s"
            time.sleep(LOOK_S)

    def digest(self) -> str:
        return digest(self.out)

    def files(self) -> dict[str, tuple[int, int]]:
        """Of each file of what is built: inode and time of change, which both change if it is written again."""
        built = self.out.with_name(f"unfinished-{self.out.name}")
        stats = {path.relative_to(built).as_posix(): path.stat() for path in built.rglob("*") if path.is_file()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def family(driver: "subprocess.Popen[str]") -> dict[str, list[psutil.Process]]:
    """The processes of a run by what they are: the driver, the nursery that it started, the workers that this forked."""
    try:
        nurseries = (top := psutil.Process(driver.pid)).children()
        return {"driver": [top], "nursery": nurseries, "worker": [w for one in nurseries for w in one.children()]}
    except psutil.NoSuchProcess:
        return {"driver": [], "nursery": [], "worker": []}


def seeds(campaign: bool, sample: int, whole: int) -> list[int]:
    """Of the attempts of a campaign all, or a sample of them that is the same every time."""
    return list(range(whole)) if campaign else sorted(random.Random(7).sample(range(whole), sample))
