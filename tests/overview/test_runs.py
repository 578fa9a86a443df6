"""What servers post about runs: one file for each user, whatever the user's name is."""

import os
import time
from pathlib import Path

import pytest
from emkit_hub.overview.runs import MOST, Posted, PostedRuns, Run
from pydantic import ValidationError

RUN = Run(id="r1", step="align_sections", state="running", done=0.5, began_at=100.0)


@pytest.fixture
def runs(tmp_path: Path) -> PostedRuns:
    return PostedRuns(tmp_path / "runs", keep_s=3600)


@pytest.mark.parametrize("name", ["ann", "../ann", "/etc/passwd", "a" * 5000, "ann\0", "Ann", "än n\n"])
def test_a_name_leads_to_its_own_file_only(runs: PostedRuns, name: str) -> None:
    runs.keep("somebody", Posted(runs=()))
    runs.keep(name, Posted(runs=(RUN,)))
    kept = runs.of(name)
    assert kept is not None and kept.runs == (RUN,)
    assert runs.of("somebody") is not None and runs.of("nobody") is None
    assert {file.parent for file in runs.folder.rglob("*")} == {runs.folder} and len(list(runs.folder.iterdir())) == 2
    assert runs.folder.stat().st_mode & 0o777 == 0o700


def test_the_last_posting_replaces_the_one_before_and_old_ones_go(runs: PostedRuns) -> None:
    runs.keep("ann", Posted(runs=(RUN, RUN)))
    runs.keep("ann", Posted(runs=()))
    kept = runs.of("ann")
    assert kept is not None and kept.runs == () and time.time() - kept.posted_at < 60
    (file,) = runs.folder.iterdir()
    os.utime(file, (1, 1))
    (runs.folder / "half.0123").write_text("written by a process that was killed")
    assert runs.forget_old() == 2 and runs.of("ann") is None


def test_a_posting_of_another_version_is_as_none(runs: PostedRuns) -> None:
    runs.keep("ann", Posted(runs=()))
    (file,) = runs.folder.iterdir()
    file.write_text('{"jobs": []}')
    assert runs.of("ann") is None


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"id": "<b>"},
        {"step": ""},
        {"state": "dancing"},
        {"title": "a" * 201},
        {"message": "a" * 501},
        {"done": 1.5},
        {"done": float("nan")},
        {"began_at": -1},
        {"began_at": 1e300},
        {"user": "bob"},
    ],
)
def test_what_is_no_run(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Posted.model_validate({"runs": [{**RUN.model_dump(), **change}]})


def test_more_than_a_page_shows_is_refused() -> None:
    Posted(runs=(RUN,) * MOST)
    with pytest.raises(ValidationError):
        Posted(runs=(RUN,) * (MOST + 1))
