"""What of everybody's data reaches one visitor."""

import doctest
import time
from dataclasses import asdict

import pytest
from emkit_hub.overview import wording
from emkit_hub.overview.told import System
from emkit_hub.overview.view import View, Visitor
from emkit_hub.overview.watch import Answer
from emkit_jobs.scheduler import Asked, Usage


def past(elapsed_s: float, **more: object) -> dict[str, object]:
    """As the spawner keeps a session's use."""
    return {**asdict(Usage(elapsed_s, None, None, None, None, Asked(), None)), "job": "emkit-1", **more}


SYSTEM = System.read(
    {
        "sessions": [
            {"user": "ann", "server": "", "state": "running", "job_id": "1", "past": [past(5, ended_at=7)]},
            {"user": "bob", "server": "", "state": "running", "job_id": "2", "past": [past(6, ended_at=8)]},
            {"user": "ann", "server": "second", "state": "stopped", "past": [past(7, ended_at=9)], "error": "no licence left"},
        ],
        "jobs": [{"user": name, "job_id": job_id, "state": "running"} for name, job_id in (("ann", "3"), ("bob", "4"))],
        "counts": {"orphans": 1, "ending": 0, "without_answer": 2, "lost": 0},
        "a field of a newer hub": 1,
    }
)
MEMBER = frozenset({"delete:servers!user=ann", "read:users:name!user=ann"})


def view(name: str, scopes: frozenset[str]) -> View:
    answer = Answer(SYSTEM, time.time())
    return View(Visitor(name, scopes), answer, time.time(), announcements=(), storage=(), full_percent=90, runs=None)


def test_a_member_sees_the_own() -> None:
    seen = view("ann", MEMBER)
    assert [(one.user, one.server) for one in seen.sessions] == [("ann", ""), ("ann", "second")]
    assert [job.job_id for job in seen.jobs] == ["1", "3"]
    assert [usage.elapsed_s for usage in seen.past] == [7, 5]
    assert (seen.everybody, seen.failed, seen.counts) == ((), (), None)


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({"delete:servers!user=annie"}), frozenset({"admin-ui!user=ann"})])
def test_a_guest_sees_nothing_of_anybody(scopes: frozenset[str]) -> None:
    for name in ("ann", "w-ann-0123"):
        seen = view(name, scopes)
        assert (seen.sessions, seen.jobs, seen.past, seen.everybody, seen.failed, seen.counts) == ((), (), (), (), (), None)


def test_an_admin_sees_everybody_and_what_went_wrong() -> None:
    seen = view("boss", frozenset({"admin-ui", "delete:servers!user=boss"}))
    assert [one.user for one in seen.everybody] == ["ann", "bob"]  # what is stopped is no session
    assert [one.error for one in seen.failed] == ["no licence left"] and seen.counts is not None and seen.counts.orphans == 1
    assert seen.sessions == () and not seen.has_default


def test_numbers_are_said_as_documented() -> None:
    assert doctest.testmod(wording).failed == 0
