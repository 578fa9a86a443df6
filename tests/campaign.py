"""The report of a campaign: per room how many tests passed, failed, were skipped, and how long they took; JSON for the docs."""

import json
import os
import platform
import subprocess
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

EXAMPLES = 1000  # of each property, against SAMPLE of them in an ordinary run
SAMPLE = 30


class Report:
    """A pytest plugin; writes `file` when the session ends."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rooms: dict[str, dict[str, float]] = defaultdict(lambda: {"passed": 0, "failed": 0, "skipped": 0, "seconds": 0})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        top, _, rest = report.nodeid.partition("/")
        room = self.rooms[rest.partition("/")[0].partition(".py")[0] if top == "tests" else top.partition("::")[0]]
        room["seconds"] += report.duration
        if report.when == "call" or report.outcome != "passed":  # a set-up that fails or skips has no call
            room[report.outcome] += 1

    def pytest_sessionfinish(self) -> None:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        facts = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": commit,
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "examples": EXAMPLES,
            "rooms": {name: {**room, "seconds": round(room["seconds"], 1)} for name, room in sorted(self.rooms.items())},
        }
        self.file.write_text(json.dumps(facts, indent=1) + "\n")
