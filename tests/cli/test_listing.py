"""The list of runs as people see it, at 80 columns and wide, and as scripts read it."""

import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emkit.cli import main
from emkit.cli.listing import STAMP, show
from emkit.progress import track
from emkit.run.folder import RunFolder, State
from emkit.run.plan import Plan
from emkit.runs import all_runs, find_run

PLAN, USED = Plan(595_000_000, 63_000_000, 3725.0), Plan(612_000_000, 62_400_000, 4010.0)
LONG = "/data/" + "/".join(["a folder with a long name"] * 12) + "/volume.ome.zarr"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))


def made(state: State, message: str = "", out: str | None = "/data/aligned.ome.zarr", **more: Any) -> RunFolder:
    run = RunFolder.new("", {"step": "align_sections", "out": out, "plan": asdict(PLAN), "overwrite": False, **more})
    run.say(state, message)
    return run


def shown(width: int, at_most: int | None = None) -> list[str]:
    console = Console(file=(text := io.StringIO()), width=width)
    show(all_runs(), at_most, console)
    return text.getvalue().splitlines()


def test_80_columns_hold_the_plan_beside_what_was_used() -> None:
    made(State.DONE, used=asdict(USED))
    made(State.FAILED, "render: 3 of 40 blocks failed\nand more")
    head, done, its_out, failed, _, why, *_ = shown(80)
    assert head.split() == ["run", "state", "memory", "disk", "time"]
    assert done.endswith("  done        612 / 595 MB 62 / 63 MB   1 h 06 min / 1 h 02 min")
    assert failed.endswith("  failed      595 MB       63 MB        1 h 02 min")
    assert why == "  render: 3 of 40 blocks failed"
    assert its_out == "  align_sections → /data/aligned.ome.zarr" and len(done) - len(done.split()[0]) + STAMP <= 80


def test_a_wide_terminal_has_a_line_for_each() -> None:
    made(State.DONE, used=asdict(USED))
    made(State.CANCELLED, out=None)
    _, done, cancelled, _ = shown(140)
    assert done.endswith("1 h 02 min  align_sections → /data/aligned.ome.zarr") and cancelled.endswith("align_sections")


def test_a_run_at_work_says_how_far_it_is() -> None:
    with (run := made(State.STARTING)).driven():
        for _ in track(range(4), "match", "pairs"):
            pass
        assert "  match: 4 of 4 pairs" in shown(80)[3]
    assert run.state is State.DONE and not any("match" in line for line in shown(80))


def test_the_newest_are_shown_and_each_by_a_name_that_is_its_own() -> None:
    runs = [made(State.DONE) for _ in range(6)]
    more, _, *lines, _ = shown(200, at_most=4)
    assert more == "2 older runs are not shown: emkit runs --all"
    assert [find_run(line.split()[0]) for line in lines] == runs[2:]


def test_a_path_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    run = made(State.DONE, out=LONG)
    assert f"  align_sections → {LONG}" in shown(80)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == f"{run.id}\tdone\t{LONG}\n"
    assert main(["runs", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["id"], told["state"], told["out"], told["folder"]) == (run.id, "done", LONG, str(run.path))


def test_a_thousand_runs_are_read_without_their_journals(capsys: pytest.CaptureFixture[str]) -> None:
    run = made(State.DONE)
    run.journal.mkdir()  # whoever reads it fails
    (run.path / "events.jsonl").mkdir()
    assert main(["runs"]) == 0 and main(["runs", "--json"]) == 0
    assert capsys.readouterr().out.startswith(run.id)


def test_no_runs() -> None:
    assert shown(80) == ["No runs yet. Every step leaves one: emkit --help lists them."]


def test_on_a_terminal_it_is_a_table_and_a_watcher_says_the_plan() -> None:
    made(State.CANCELLED)
    listed, code = on_a_terminal("runs")
    assert code == 0 and "align_sections → /data/aligned.ome.zarr" in listed and "Used / planned" in listed
    watched, code = on_a_terminal("watch", "last")
    assert code == 130 and "planned: 595 MB memory, 63.0 MB disk" in watched and "was cancelled" in watched


def on_a_terminal(*words: str) -> tuple[str, int]:
    """What a command prints on one, and its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 2**16):
                text += piece
        except OSError:  # the last one has closed it
            os.close(ours)
    return text.decode(), process.returncode
