"""Who does the tasks, and how they are dealt to them.

An `Executor` is hands only: it takes batches of tasks and tells what comes of each. Dealing out, trying again and hearing
the wish to cancel are the same for all of them, and stand here. A task has three tries, and an error that emkit explains
is final at the first. The order in which tasks end tells nothing: who asks must not depend on it.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from emkit.errors import EmkitError
from emkit.progress import PERIOD_S, Cancelled, cancelled
from emkit.run.worker import Done, Failed, attempt

TRIES = 3
LARGEST_BATCH = 64
QUICKLY = 4  # the pace follows what the last so many tasks took
NEEDS = "needs"  # the attribute of a task
F = TypeVar("F", bound=Callable[..., Any])
Work = Callable[..., Any]
Tasks = Mapping[str, tuple[Any, ...]]


def needs(*modules: str) -> Callable[[F], F]:
    """Of a task: what it imports when it begins. Workers are then forked from a process that has done so, once for all of them."""

    def marked(work: F) -> F:
        setattr(work, NEEDS, modules)
        return work

    return marked


class WorkerDied(RuntimeError):
    """A worker ended in the middle of a task."""


@dataclass(frozen=True)
class Unbegun:
    """A task that comes back as it was: its worker ended before it, or was to end then. That is no try."""

    key: str


Answer = Done | Failed | Unbegun


class Executor(Protocol):
    """Hands that do tasks, entered for as long as they are needed; on leaving, whatever they do is ended."""

    batch_s: float  # short tasks travel together until they are worth so much time, so that the way costs less than the work

    @property
    def size(self) -> int:
        """How many batches it does at once, as far as is known."""

    @property
    def peak_bytes(self) -> int:
        """By how much its workers grew at most, all together."""

    def free(self) -> bool:
        """Whether it would begin a batch now."""

    def has_room(self, tasks: int) -> bool:
        """Whether, when nothing is being done, it would begin so many at the same time, over as many nodes as it is to have."""

    def begin(self, work: Work, tasks: Tasks) -> None:
        """Begin a batch. Each of its tasks is answered once."""

    def answers(self, timeout_s: float) -> list[Answer]:
        """What has come; where nothing has, it waits for something so long."""

    def end(self) -> None:
        """End all that is being done; it is not answered any more."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Serial:
    """One task after another in this very process: slow, obvious, what the others are compared with; and for a debugger.

    Nothing can end a task here but its own end.
    """

    batch_s, size, peak_bytes = 0.0, 1, 0  # what it takes, the driver's own measure holds

    def __init__(self) -> None:
        self.batch: deque[tuple[Work, str, tuple[Any, ...]]] = deque()

    def free(self) -> bool:
        return not self.batch

    def has_room(self, tasks: int) -> bool:
        return tasks <= self.size

    def begin(self, work: Work, tasks: Tasks) -> None:
        self.batch.extend((work, key, arguments) for key, arguments in tasks.items())

    def answers(self, timeout_s: float) -> list[Answer]:
        return [attempt(*self.batch.popleft())]

    def end(self) -> None:
        self.batch.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def outcomes(hands: Executor, work: Work, tasks: Tasks) -> Generator[Done | Failed, None, None]:
    """What comes of each task, as it comes. Raises `Cancelled` within two tenths of a second after somebody asks for it."""
    waiting, tried, out = deque(tasks), Counter[str](), 0
    pace_s, asked = hands.batch_s, time.monotonic()
    while waiting or out:
        while waiting and hands.free():
            keys = _batch(waiting, tried, min(int(hands.batch_s / max(pace_s, 1e-6)), LARGEST_BATCH), hands.size)
            out += len(keys)
            hands.begin(work, {key: tasks[key] for key in keys})
        back = []
        for answer in hands.answers(PERIOD_S):
            out -= 1
            if isinstance(answer, Unbegun):
                back.append(answer.key)
                continue
            if isinstance(answer, Done):
                pace_s += (answer.seconds - pace_s) / QUICKLY
            elif not isinstance(answer.error, EmkitError):
                tried[answer.key] += 1
                if tried[answer.key] < TRIES:
                    waiting.insert(hands.size, answer.key)  # soon, so that what fails everywhere is known before all is tried
                    continue
            yield answer
        waiting.extendleft(reversed(back))
        if time.monotonic() - asked >= PERIOD_S:
            check_wanted(len(waiting) + out)
            asked = time.monotonic()


def check_wanted(left: int) -> None:
    """Raises `Cancelled`, with how many tasks are left, where somebody has asked for it."""
    if cancelled():
        raise Cancelled(f"cancelled with {left} {'task' if left == 1 else 'tasks'} to do")


def _batch(waiting: deque[str], tried: Counter[str], length: int, size: int) -> list[str]:
    """The next tasks to be dealt together. Towards the end one by one, so that none waits behind a slow one while another
    worker idles; and what has failed before goes alone, so that it takes no other along."""
    keys = [waiting.popleft()]
    while len(keys) < min(length, len(waiting) // (4 * max(1, size))) and not (tried[keys[0]] or tried[waiting[0]]):
        keys.append(waiting.popleft())
    return keys
