"""What followers of a start see: every step once, and a wait in its place. What the database keeps, read back."""

import asyncio
from dataclasses import replace

from emkit_jobs.scheduler import Waiting
from emkit_spawner.record import PAST_SESSIONS, Record
from emkit_spawner.steps import Event, Steps

FIRST = Waiting("all nodes are in use", position=2, expected_at=None, asked_at=1.0)


async def seen(steps: Steps, count: int) -> list[Event]:
    follower = steps.follow()
    return [await anext(follower) for _ in range(count)]


async def test_a_wait_is_one_line_that_changes() -> None:
    steps = Steps()
    steps.add(20, "Submitted as job 1")
    follower = steps.follow()
    assert (await anext(follower))["message"].startswith("Submitted")
    steps.wait(FIRST)
    assert (await anext(follower))["waiting"]["position"] == 2
    steps.wait(replace(FIRST, asked_at=2.0))  # nothing new
    steps.wait(replace(FIRST, position=1, asked_at=3.0))
    assert (await anext(follower))["waiting"]["position"] == 1
    steps.add(40, "Job started")
    assert [event["progress"] for event in await seen(steps, 3)] == [20, 30, 40]  # who comes later sees the last of it


async def test_a_follower_waits_for_the_next_step() -> None:
    steps = Steps()
    later = asyncio.create_task(seen(steps, 1))
    await asyncio.sleep(0)
    assert not later.done()
    steps.add(20, "Submitted")
    assert (await later)[0]["progress"] == 20


def test_a_record_is_read_back_and_forgives_another_version() -> None:
    record = Record(job_name="emkit-1", job_id="7", token_id=3, port=40000, asked_at=1.5, good_options={"cpus": 2})
    assert Record.read(record.state()) == record
    assert Record.read({**record.state(), "of_a_newer_hub": 1}) == record
    assert Record().state() == {}
    assert record.without_job().state() == {"good_options": {"cpus": 2}}


def test_the_last_sessions_are_kept_each_once() -> None:
    record = Record()
    for number in range(PAST_SESSIONS + 2):
        record.remember({"job": f"job-{number}", "elapsed_s": 0.0})
    record.remember({"job": f"job-{PAST_SESSIONS + 1}", "elapsed_s": 9.0})
    assert [past["job"] for past in record.past] == [f"job-{number}" for number in range(2, PAST_SESSIONS + 2)]
    assert record.past[-1]["elapsed_s"] == 9.0
