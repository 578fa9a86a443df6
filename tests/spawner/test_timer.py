"""The timer of the hub's looks at its servers."""

import asyncio

import pytest
from emkit_spawner.timer import Timer


async def test_it_calls_until_it_is_stopped_from_within() -> None:
    calls, over = 0, asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            timer.stop()
            over.set()

    timer = Timer(call, 0.001, jitter=0.5)
    await asyncio.wait_for(over.wait(), 30)
    await asyncio.sleep(0.02)
    assert calls == 3


async def test_a_call_that_fails_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    failed, again = False, asyncio.Event()

    async def call() -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError("this call fails")
        timer.stop()
        again.set()

    timer = Timer(call, 0.001)
    await asyncio.wait_for(again.wait(), 30)
    assert failed
