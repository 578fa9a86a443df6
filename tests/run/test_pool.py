"""Tasks in processes of their own: real workers, really killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emkit.errors import DataError
from emkit.progress import Cancelled, listening
from emkit.run.executor import LARGEST_BATCH, TRIES, WorkerDied, outcomes
from emkit.run.machine import worker_number
from emkit.run.pool import Pool, nursery
from emkit.run.together import outcomes_together
from emkit.run.worker import Done, Failed


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise DataError(f"{number} is no good")


def tried(folder: Path, key: str) -> int:
    """Which try this is: each leaves a file."""
    (folder / f"{key}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return len(list(folder.glob(f"{key}-*")))


def fail(folder: Path, key: str, tries: int) -> str:
    if tried(folder, key) <= tries:
        raise ValueError(f"{key} fails")
    return key


def die(folder: Path, key: str, tries: int) -> str:
    if tried(folder, key) <= tries:
        os.kill(os.getpid(), signal.SIGKILL)
    return key


class Wilful(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_wilful(number: int) -> int:
    raise Wilful(number, number)


def wait_for_ever(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    signal.pause()


def threads() -> tuple[str, str]:
    return os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]


def take_memory(size: int) -> int:
    return len(bytes(bytearray(os.urandom(1) * size)))


def number_of(folder: Path, key: str, name: str) -> int:
    """Of this worker, once both are there."""
    (folder / f"{key} {name}").touch()
    while len(list(folder.glob(f"* {name}"))) < 2:
        time.sleep(0.01)
    return worker_number()


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(2) as pool:
        yield pool


def gone(pid: int) -> bool:
    """Whether no process of this number is there; waits a little for one that is ending."""
    last = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < last:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


def test_each_task_is_answered_once(pool: Pool) -> None:
    found = list(outcomes(pool, square, {str(k): (k,) for k in range(10 * LARGEST_BATCH)}))
    assert {one.key: one.result for one in found if isinstance(one, Done)} == {str(k): k * k for k in range(640)}
    assert len(found) == 640 and len(pool.pids) == 2


@pytest.mark.parametrize("trouble", [fail, die])
def test_a_task_is_tried_three_times(pool: Pool, tmp_path: Path, trouble: object) -> None:
    tasks = {key: (tmp_path, key, tries) for key, tries in {"a": 0, "b": TRIES - 1, "c": TRIES, "d": 0}.items()}
    found = {one.key: one for one in outcomes(pool, trouble, tasks)}  # type: ignore[arg-type]
    assert {key for key, one in found.items() if isinstance(one, Done)} == {"a", "b", "d"}
    assert isinstance(lost := found["c"], Failed)
    if trouble is die:
        assert isinstance(lost.error, WorkerDied) and "killed by signal 9" in str(lost.error)
    else:
        assert "ValueError: c fails" in lost.trace
    assert [len(list(tmp_path.glob(f"{key}-*"))) for key in "abcd"] == [1, 3, 3, 1]


def test_an_error_that_explains_itself_is_final(pool: Pool) -> None:
    (found,) = outcomes(pool, refuse, {"one": (1,)})
    assert isinstance(found, Failed) and isinstance(found.error, DataError) and str(found.error) == "1 is no good"


def test_an_error_that_cannot_travel_is_told(pool: Pool) -> None:
    (found,) = outcomes(pool, raise_wilful, {"one": (1,)})
    assert isinstance(found, Failed) and str(found.error) == "Wilful: 1 and 1"


def test_cancel_ends_workers_in_the_middle_of_their_tasks(tmp_path: Path) -> None:
    with Pool(2) as pool, listening(stop=lambda: len(os.listdir(tmp_path)) == 2):
        with pytest.raises(Cancelled, match="with 3 tasks to do"):
            list(outcomes(pool, wait_for_ever, {key: (tmp_path,) for key in "abc"}))
        pids = list(map(int, os.listdir(tmp_path)))
    assert all(map(gone, pids))


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    text = (
        "import sys; from pathlib import Path; from tests.run.test_pool import Pool, outcomes, wait_for_ever\n"
        "with Pool(2) as pool: list(outcomes(pool, wait_for_ever, {k: (Path(sys.argv[1]),) for k in 'ab'}))"
    )
    with subprocess.Popen([sys.executable, "-c", text, tmp_path], cwd=Path(__file__).parents[2]) as driver:
        while len(os.listdir(tmp_path)) < 2:
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
    assert all(gone(int(name)) for name in os.listdir(tmp_path))


def test_a_nursery_that_was_killed_is_made_anew(pool: Pool) -> None:
    assert len(list(outcomes(pool, square, {"a": (1,), "b": (2,)}))) == 2
    killed = nursery(pool.threads).process
    killed.kill()
    killed.wait()
    assert {one.key for one in outcomes(pool, square, {"c": (3,), "d": (4,)}) if isinstance(one, Done)} == {"c", "d"}


def test_workers_share_the_cores_and_wait_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    with Pool(4) as pool:
        (found,) = outcomes(pool, threads, {"one": ()})
    assert isinstance(found, Done) and found.result == ("2", "PASSIVE")


def test_workers_have_numbers_and_who_takes_the_place_of_one_has_its(pool: Pool, tmp_path: Path) -> None:
    found = list(outcomes_together(pool, number_of, {key: (tmp_path, key) for key in "ab"}))
    assert sorted(one.result for one in found if isinstance(one, Done)) == [0, 1]
    (lost,) = (connection for connection, number in pool.numbers.items() if number == 0)
    os.kill(pool.pids[lost], signal.SIGKILL)
    again = list(outcomes_together(pool, number_of, {key: (tmp_path, key) for key in "ab"}))
    assert sorted(one.result for one in again if isinstance(one, Done)) == [0, 1]


def test_the_memory_of_workers_is_measured() -> None:
    with Pool(1) as pool:
        (found,) = outcomes(pool, take_memory, {"one": (50_000_000,)})
        assert isinstance(found, Done) and 90e6 < pool.peak_bytes < 180e6
