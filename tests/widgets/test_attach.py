"""A run that is kept outlives its kernel; a form that is made again follows it, ends it, goes on with it, and shows its result."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emkit_widgets.form import StepForm
from ipywidgets import HTML

import emkit
from emkit.provenance import digest
from emkit.run.folder import RunFolder, State
from emkit.runs import find_run

LONG = {"sections": 400, "size_px": 256}  # tens of seconds: every test ends it, but for a machine that is fast beyond belief
KERNEL = """
import emkit, os, signal
from emkit_widgets.form import StepForm
form = StepForm(emkit.make_phantom, out="raw", sections={sections}, size_px=256)
form.keep.value = True
form.start()
print(form._followed.folder.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def until(condition: Callable[[], object], what: str) -> None:
    last = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < last, what
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder; no run is left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    yield tmp_path
    for run in (tmp_path / "runs").glob("*-*"):
        RunFolder(run).ask_to_cancel()
        until(lambda run=run: RunFolder(run).state not in (State.STARTING, State.RUNNING), "no run is left behind")  # type: ignore[misc]


def form_of(**given: int) -> StepForm:
    return StepForm(emkit.make_phantom, out="raw", **(LONG | given))


def kept(form: StepForm) -> RunFolder:
    """Start the form's run by itself, and wait for its first progress."""
    form.keep.value = True
    assert form.start() is not None
    until(lambda: form.bar.value > 0, "it makes progress")
    return find_run("last")


def test_a_kernel_may_be_killed_and_a_form_made_again_shows_bar_and_result() -> None:
    told = subprocess.run([sys.executable, "-c", KERNEL.format(sections=30)], capture_output=True, text=True, check=False)
    assert told.returncode == -signal.SIGKILL, told.stderr
    form = form_of(sections=30)
    view = form.then(lambda ran: HTML(f"{ran['sections']} sections"))
    assert form.running and form.run.disabled and not form.cancel.disabled and told.stdout.strip() in form.message.value
    form.told.result(60)
    assert "Done in" in form.message.value and len(form.result.affines) == 30 and view.children[0].value == "30 sections"
    assert form_of(sections=30).result == form.result, "what was made is shown without being made again"
    other = form_of(sections=31)
    assert other.result is None and other.ran is None and not other.running


def test_cancel_and_resume_from_any_form() -> None:
    run = kept(first := form_of())
    second = form_of()
    asked = time.monotonic()
    second.cancel.click()
    first.told.result(60)
    second.told.result(60)
    assert run.state is State.CANCELLED and time.monotonic() - asked < 20
    assert "Resume goes on from there" in second.message.value and second.resume.layout.display is None
    third = form_of(sections=401)
    assert "was cancelled on" in third.message.value and "sections 400, here 401" in third.message.value
    third.close()
    second.keep.value = True
    assert second.go_on() is not None and second.resume.layout.display == "none"
    until(lambda: run.state is State.RUNNING, "it goes on in the same folder")
    second.stop()
    second.told.result(60)


def test_what_was_interrupted_is_resumed_here_to_the_same_bytes(folder: Path) -> None:
    emkit.make_phantom(out=Path("undisturbed"), sections=30, size_px=256)
    run = kept(form := form_of(sections=30))
    os.kill(run.said()["pid"], signal.SIGKILL)
    form.told.result(60)
    assert "was interrupted" in form.message.value or run.state is State.DONE
    again = form_of(sections=30)
    assert "was interrupted on" in again.message.value
    assert (ended := again.go_on()) is not None
    ended.result(60)
    assert len(again.result.affines) == 30 and digest(folder / "raw") == digest(folder / "undisturbed")


def test_run_goes_on_with_what_is_left_of_the_same_run() -> None:
    run = kept(form := form_of())
    form.stop()
    form.told.result(60)
    assert kept(form) == run
    form.stop()
    form.told.result(60)


def test_what_cannot_begin_is_refused_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emkit.run.room.memory_left", lambda: 10_000_000)
    form = form_of(size_px=1024)
    form.plan.click()
    assert "at its peak" in form.message.value and "this machine has" in form.message.value, (
        "the numbers, and why they are too large"
    )
    form.keep.value = True
    assert form.start() is None and "this machine has" in form.message.value and not (folder / "runs").exists()


def test_where_it_runs_is_chosen_beside_the_settings_and_told_by_the_plan() -> None:
    form = form_of(sections=2)
    assert form.on in form.more.children[0].children and "local" in form.on.entry.options
    form.on.entry.value = "moon"
    for press in (form.plan.click, form.start):
        press()
        assert "found &#x27;moon&#x27;, needed one of local" in form.message.value
    form.on.entry.value = "serial"
    form.plan.click()
    assert "Where" in form.message.value and "on serial" in form.message.value
    assert len(form.run_now().affines) == 2 and find_run("last").facts()["place"] == "serial"


def test_it_is_not_offered_to_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    def offered(form: StepForm) -> bool:
        return any(form.keep in getattr(row, "children", ()) for row in form.children)

    assert offered(form_of())
    monkeypatch.setenv("VOILA_KERNEL_ID", "1")
    assert not offered(form_of())
