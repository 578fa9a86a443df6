"""One question for everybody: how often it is asked, what an old answer is worth, and whom a slow one keeps waiting."""

import asyncio
from collections.abc import Callable

import pytest
from emkit_jobs import shared
from emkit_jobs.scheduler import SchedulerError
from emkit_jobs.shared import Shared, SharedByKey


class Question:
    """Answers 1, 2, 3 …, when `go` is set; fails while `broken`."""

    def __init__(self) -> None:
        self.asked, self.broken, self.go = 0, False, asyncio.Event()
        self.go.set()

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        if self.broken:
            raise SchedulerError("no answer")
        return number


async def test_all_who_come_meanwhile_get_one_answer() -> None:
    question = Question()
    kept = Shared(question, keep_s=60)
    assert set(await asyncio.gather(*(kept.get() for _ in range(50)))) == {1} and await kept.get() == 1
    assert question.asked == 1


async def test_a_failure_leaves_the_old_answer_with_its_time() -> None:
    question = Question()
    kept = Shared(question, keep_s=0)
    await kept.get()
    asked_at = kept.asked_at
    question.broken = True
    assert await kept.get() == 1 and kept.silence == "no answer" and kept.asked_at == asked_at
    question.broken = False
    assert await kept.get() == 3 and kept.silence == ""


async def test_a_slow_answer_keeps_nobody_waiting_and_still_arrives() -> None:
    question = Question()
    kept = Shared(question, keep_s=0)
    await kept.get()
    question.go.clear()
    assert await kept.get(patience_s=0.01) == 1
    question.go.set()
    assert await kept.get() == 2


async def test_who_leaves_does_not_end_the_question_of_others() -> None:
    question = Question()
    question.go.clear()
    kept = Shared(question, keep_s=60)
    first, second = asyncio.create_task(kept.get()), asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    first.cancel()
    question.go.set()
    assert await second == 1 and question.asked == 1


async def test_what_was_forgotten_while_it_was_asked_is_asked_again() -> None:
    question = Question()
    question.go.clear()
    kept = Shared(question, keep_s=60)
    early = asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    kept.forget()
    question.go.set()
    assert await early == 1 and await kept.get() == 2


async def test_keys_that_are_old_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST_KEYS", 3)
    kept: SharedByKey[int] = SharedByKey(keep_s=0)

    def answer(number: int) -> Callable[[], "asyncio.Future[int]"]:
        async def ask() -> int:
            return number

        return lambda: asyncio.ensure_future(ask())

    for number in range(20):
        assert await kept.of(number, answer(number)).get() == number
    assert len(kept._kept) <= 3
