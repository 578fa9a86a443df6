"""The published comparison: what came of each fault for each spawner on each Slurm, as JSON for the documentation.

scripts/test tests/faults --campaign --faults-report docs/faults.json
"""

import json
import platform
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

KEPT, BROKEN, LEFT_OUT = "kept", "broken", "not run"


class Comparison:
    """A pytest plugin. A row is the first line of a test's docstring, a column the Slurm and the spawner it was given.

    A row whose test runs in several ways, such as each phase of a start, is kept only if each of them is; what broke it is told.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        # fault → column → how → outcome, with the reason; what this run leaves out stays as it was
        self.rows: dict[str, dict[str, dict[str, str]]] = json.loads(file.read_text())["rows"] if file.exists() else {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        contender, cluster = parameters.get("contender"), parameters.get("cluster")
        if contender is None or cluster is None or report.when == "teardown" or (report.when == "setup" and report.passed):
            return report
        title = (item.function.__doc__ or item.name).partition("\n")[0]  # type: ignore[attr-defined]
        how = ", ".join(str(value) for name, value in parameters.items() if name not in ("contender", "cluster"))
        outcomes = self.rows.setdefault(title, {}).setdefault(f"{contender.name} {cluster.title}", {})
        if report.passed:
            outcomes[how] = KEPT
        elif call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
            outcomes[how] = LEFT_OUT
        elif call.excinfo is not None:
            outcomes[how] = f"{BROKEN}: {call.excinfo.exconly().partition(chr(10))[0][:200]}"
        return report

    def pytest_sessionfinish(self) -> None:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        slurm = subprocess.run(["/usr/sbin/slurmctld", "-V"], capture_output=True, text=True).stdout.strip()
        facts = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": commit,
            "python": platform.python_version(),
            "slurm": slurm,
            "jupyterhub": version("jupyterhub"),
            "batchspawner": version("batchspawner"),
            "rows": self.rows,
        }
        self.file.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
