"""Tasks that cannot be done: the others are, and each that is not is named; after mending it is done alone."""

import os
import resource
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import pytest

from emkit.blocks import Grid
from emkit.errors import TaskError
from emkit.params import Writes
from emkit.progress import Cancelled, listening
from emkit.provenance import Written, written
from emkit.run.executor import LARGEST_BATCH
from emkit.run.plan import Plan
from emkit.run.stage import HOPELESS, stage
from emkit.run.step import Body, step

BLOCKS = Grid((40, 160, 160), (1, 1, 1), (4, 16, 16), (4, 16, 16), True).blocks()  # a thousand
POISONED = BLOCKS[417]


@step
def write_blocks(*, out: Annotated[Path, Writes("folder")]) -> Body[int]:
    """A file for each of a thousand blocks. A file in ../poison that bears the name of a block says what befalls it.

    Parameters
    ----------
    out
        A folder.
    """
    yield Plan(1_000_000)
    out.mkdir(exist_ok=True)
    tasks = {str(block): (out, str(block), k) for k, block in enumerate(BLOCKS)}
    yield from stage("write", write_one, tasks, "blocks")
    return len(tasks)


class Unportable(Exception):
    """Cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__("this cannot travel")
        self.lock = threading.Lock()


def write_one(out: Path, name: str, number: int) -> Written:
    with Path("../attempts").open("a") as attempts:
        attempts.write(f"{number}\n")
    if (told := Path("../poison", name)).exists():
        befall(told.read_text())
    (out / f"{number}").write_text(name)
    return written(out, out / f"{number}")


def befall(what: str) -> None:
    match what:
        case "error":
            raise ValueError("these pixels are poisoned")
        case "abort":
            os.abort()
        case "memory":
            resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
            bytearray(1 << 32)
        case "unportable":
            raise Unportable
        case "exit":
            raise SystemExit(3)
        case "hang":
            Path("../hangs").touch()
            signal.pause()


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (folder := tmp_path / "poison").mkdir()
    return folder


def attempts() -> Counter[int]:
    """How often each block was really begun."""
    return Counter(map(int, Path("../attempts").read_text().split()))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("error", "ValueError: these pixels are poisoned"),
        ("abort", "killed by signal 6"),
        ("memory", "MemoryError"),
        ("unportable", "Unportable: this cannot travel"),
        ("exit", "ended with"),
    ],
)
def test_of_a_thousand_blocks_one_is_poisoned(poison: Path, what: str, said: str) -> None:
    (poison / str(POISONED)).write_text(what)
    with pytest.raises(TaskError) as told:
        write_blocks(out=Path("out"))
    message = str(told.value)
    assert "1 of 1000 blocks failed; the other 999 are done, and kept" in message
    assert f"  {POISONED}: " in message and "z 16:20, y 16:32, x 112:128" in message and said in message
    if what == "error":  # the lines that led to it
        assert 'raise ValueError("these pixels are poisoned")' in message
    assert len(os.listdir("unfinished-out")) == 999 and not Path("out").exists()
    begun = attempts()
    assert begun.pop(417) == 3 and sum(begun.values()) == 999  # what travelled with it was not begun twice
    (poison / str(POISONED)).unlink()
    Path("../attempts").unlink()
    assert write_blocks(out=Path("out")) == 1000
    assert attempts() == {417: 1}  # mended, it alone is done


def test_where_nothing_can_be_done_the_rest_is_not_tried(poison: Path) -> None:
    for block in BLOCKS[::2]:
        (poison / str(block)).write_text("error")
    with pytest.raises(TaskError, match=f"{HOPELESS} of 1000 blocks failed; the rest was not tried"):
        write_blocks(out=Path("out"))
    assert len(attempts()) < 500


def test_a_task_that_never_ends_is_cancelled(poison: Path) -> None:
    (poison / str(POISONED)).write_text("hang")
    began: list[float] = []

    def stop() -> bool:
        if Path("../hangs").exists() and len(attempts()) >= len(BLOCKS) - LARGEST_BATCH:  # some may wait behind it
            began.append(time.monotonic())
        return bool(began)

    with (
        listening(stop=stop),
        pytest.raises(Cancelled, match=r"cancelled (with \d+ tasks|in 'write' after \d+ of 1000)"),
    ):
        write_blocks(out=Path("out"))
    print(f"cancelled {time.monotonic() - began[0]:.2f} s after it was asked for")
