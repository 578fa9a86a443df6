"""The panel of my runs: what it tells of each, and what Cancel and Resume do, on real runs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emkit_widgets.runs import RunsPanel

import emkit
from emkit.run.detached import detach
from emkit.run.drive import begin
from emkit.run.folder import RunFolder, State
from emkit.run.step import bind
from tests.widgets.test_attach import until


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    yield tmp_path
    for run in (tmp_path / "runs").glob("*-*"):
        if RunFolder(run).state in (State.STARTING, State.RUNNING):
            os.kill(RunFolder(run).said()["pid"], signal.SIGKILL)


def begun(out: str, sections: int) -> RunFolder:
    return begin(bind(emkit.make_phantom, out=out, sections=sections, size_px=128), overwrite=False)


def press(panel: RunsPanel, **message: Any) -> None:
    """As the page does it."""
    panel._handle_custom_msg(message, [])


def test_no_runs() -> None:
    panel = RunsPanel()
    assert panel.runs == [] and panel.selected == "" and panel.shown == {}


def test_cancel_and_resume() -> None:
    emkit.make_phantom(out=Path("done"), sections=2, size_px=64)
    detach(run := begun("raw", 300))
    panel = RunsPanel()
    assert [row["step"] for row in panel.runs] == ["make_phantom"] * 2 and panel.selected == run.id
    until(lambda: press(panel) or panel.shown["stages"], "it makes progress")  # type: ignore[func-returns-value]
    row = panel.runs[0]
    assert (
        row["state"] == "running"
        and "of 300 sections" in row["progress"]
        and 0 <= row["done"] < 1
        and panel.shown["can"] == "cancel"
    )
    press(panel, cancel=run.id)
    until(lambda: run.state is State.CANCELLED, "it ends")
    press(panel)
    assert panel.runs[0]["state"] == "cancelled" and panel.runs[0]["progress"] == "" and panel.shown["can"] == "resume"
    press(panel, resume=run.id)
    until(lambda: run.state is State.RUNNING, "it goes on by itself")
    press(panel, resume=run.id)
    assert "is driven already" in panel.refused
    press(panel, cancel=run.id)
    until(lambda: run.state is State.CANCELLED, "it ends again")
    assert panel.refused == ""


def test_the_plan_stands_against_what_was_used() -> None:
    emkit.make_phantom(out=Path("done"), sections=2, size_px=64)
    panel = RunsPanel()
    (row,) = panel.runs
    assert row["state"] == "done" and row["out"].endswith("/done") and " / " in row["time"] and " / " in row["memory"]
    assert panel.shown["can"] == "" and panel.shown["stages"][0]["what"] == "draw" and " / " in panel.shown["disk"]


def test_failed_tasks_are_named_their_traceback_is_apart_and_the_log_is_there() -> None:
    run = begun("raw", 3)
    run.log.write_text("\n".join(f"line {k}" for k in range(5000)))
    run.say(
        State.FAILED,
        "draw: 1 of 3 sections failed\n  a.tif: ValueError('x')\nTraceback (most recent call last):\n  here",
        exit_code=3,
    )
    older = begun("older", 3)
    panel = RunsPanel()
    assert panel.shown["state"] == "interrupted" and panel.shown["id"] == older.id
    panel.selected = run.id
    assert panel.shown["message"].endswith("a.tif: ValueError('x')") and panel.shown["trace"].endswith("  here")
    assert (
        panel.shown["log"].endswith("line 4999") and len(panel.shown["log"].splitlines()) == 60 and panel.shown["can"] == "resume"
    )


def test_a_run_that_is_gone_is_told() -> None:
    panel = RunsPanel()
    press(panel, resume="20990101T000000-none")
    assert "none of the 0 runs" in panel.refused
