"""Tasks that wait for each other: begun at once, ended and tried as one."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emkit.errors import DataError, ResourceError
from emkit.progress import Cancelled, listening
from emkit.run.executor import TRIES, WorkerDied
from emkit.run.lines import line_of
from emkit.run.place import Place
from emkit.run.plan import Load, Plan
from emkit.run.pool import Pool
from emkit.run.room import Room, placed
from emkit.run.stage import Journal, Stage
from emkit.run.together import outcomes_together
from emkit.run.worker import Done, Failed
from tests.run.test_pool import gone

TWO = ("0", "1")


@pytest.fixture
def hands() -> Iterator[Pool]:
    with Pool(2) as hands:
        yield hands


def meet(folder: Path, key: str, tries: int, name: str) -> str:
    """Wait until both are there; in the first `tries` tries one of them is then killed, and the other waits for ever."""
    (folder / f"{key} {name}").write_text(str(os.getpid()))
    while not all((folder / f"{other} {name}").exists() for other in TWO):
        time.sleep(0.01)
    if len(list(folder.glob("0 *"))) <= tries:
        os.kill(os.getpid(), signal.SIGKILL) if key == "1" else signal.pause()
    return name


def refuse_one(folder: Path, key: str, name: str) -> None:
    (folder / key).write_text(str(os.getpid()))
    if key == "1":
        raise DataError("no good")
    signal.pause()


def wait_for_ever(folder: Path, key: str, name: str) -> None:
    (folder / key).write_text(str(os.getpid()))
    signal.pause()


def begun(folder: Path) -> list[int]:
    """The numbers of the processes that have left theirs."""
    return [int(file.read_text()) for file in folder.iterdir()]


@pytest.mark.parametrize("tries", [0, 1, TRIES])
def test_the_end_of_one_is_the_end_of_all_and_they_are_tried_as_one(hands: Pool, tmp_path: Path, tries: int) -> None:
    found = list(outcomes_together(hands, meet, {key: (tmp_path, key, tries) for key in TWO}))
    assert len(list(tmp_path.iterdir())) == 2 * min(tries + 1, TRIES)
    if tries < TRIES:
        assert {one.key for one in found if isinstance(one, Done)} == set(TWO)
        assert len({one.result for one in found if isinstance(one, Done)}) == 1
    else:
        assert (
            isinstance(lost := found[0], Failed) and isinstance(lost.error, WorkerDied) and "killed by signal 9" in str(lost.error)
        )
    last = [one.result for one in found if isinstance(one, Done)]
    assert all(gone(int(file.read_text())) for file in tmp_path.iterdir() if file.name.split()[1] not in last)


def test_what_one_of_them_explains_is_final_for_all(hands: Pool, tmp_path: Path) -> None:
    (found,) = outcomes_together(hands, refuse_one, {key: (tmp_path, key) for key in TWO})
    assert isinstance(found, Failed) and str(found.error) == "no good"
    assert all(map(gone, begun(tmp_path)))


def test_cancel_ends_all(hands: Pool, tmp_path: Path) -> None:
    with listening(stop=lambda: len(os.listdir(tmp_path)) == 2), pytest.raises(Cancelled, match="with 2 tasks to do"):
        list(outcomes_together(hands, wait_for_ever, {key: (tmp_path, key) for key in TWO}))
    hands.end()
    assert all(map(gone, begun(tmp_path)))


def test_nothing_begins_where_there_is_not_room_for_all(hands: Pool, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"3 tasks must run at the same time, but within 0:00:00 there was room for 2"):
        list(outcomes_together(hands, wait_for_ever, {key: (tmp_path, key) for key in "012"}, patience_s=0))
    assert not list(tmp_path.iterdir())


def keep(folder: Path, key: str, name: str) -> str:
    (folder / f"{key} {name}").touch()
    return key


def test_one_alone_that_a_journal_lacks_is_done_with_the_others(tmp_path: Path) -> None:
    asked: Stage[str] = Stage("learn", keep, {key: (tmp_path / "tries", key) for key in TWO}, "processes", together=True)
    (tmp_path / "tries").mkdir()
    (tmp_path / "journal").write_text("mine\n" + line_of("learn", "0", json.dumps("0")))
    with (tmp_path / "journal").open("r+") as file, Pool(2) as pool:
        journal = Journal(file, "mine")
        assert journal.found["learn"] == {"0": '"0"'} and dict(journal.execute(asked, pool)) == {"0": "0", "1": "1"}
    assert len(list((tmp_path / "tries").iterdir())) == 2


def test_a_plan_counts_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(100, stages=(Load(tasks=3, task_bytes=1000, task_s=1.0, together=True), Load(tasks=9, task_bytes=10)))
    assert plan.fitted(8, 3100).workers == 3 and plan.fitted(8, 10).memory_bytes == 3100
    assert placed(plan, Place("local", count=2)).plan.lacking.startswith(
        "The run needs 3 tasks at the same time; this machine does 2 at once."
    )
    small = Room("here", 4, 4, 3000)
    assert small.lacks(plan) == "The run needs 0.0 MB of memory, with 3 tasks at once; here has 0.0 MB."
    jobs = Room("2 jobs", 8, worker_bytes=500, apart=True, nodes=2)  # 2000 bytes in each, and two of the three in one
    assert not jobs.lacks(plan)
    large = Plan(100, stages=(Load(tasks=3, task_bytes=1_100_000, together=True),))
    jobs = Room("2 jobs", 8, worker_bytes=500_000, apart=True, nodes=2)
    assert jobs.lacks(large) == "2 tasks at once need 2.2 MB of memory; a worker of 2 jobs has 2.0 MB."
