"""What of everybody's data reaches one visitor."""

import doctest
import time

import pytest
from emkit_hub.overview import wording
from emkit_hub.overview.told import System
from emkit_hub.overview.view import View, Visitor
from emkit_hub.overview.watch import Answer

SYSTEM = System.read(
    {
        "sessions": [
            {"user": "ann", "server": "", "state": "running", "job_id": "1", "past": [{"elapsed_s": 5, "ended_at": 7}]},
            {"user": "bob", "server": "", "state": "running", "job_id": "2", "past": [{"elapsed_s": 6, "ended_at": 8}]},
            {"user": "ann", "server": "second", "state": "stopped", "past": [{"elapsed_s": 7, "ended_at": 9}]},
        ],
        "orphans": [{"job_id": "99"}],
        "errors": [{"text": "squeue: no answer"}],
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
    assert [job.job_id for job in seen.jobs] == ["1"]
    assert [usage.elapsed_s for usage in seen.past] == [7, 5]
    assert (seen.everybody, seen.orphans, seen.errors) == ((), (), ())


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({"delete:servers!user=annie"}), frozenset({"admin-ui!user=ann"})])
def test_a_guest_sees_nothing_of_anybody(scopes: frozenset[str]) -> None:
    for name in ("ann", "w-ann-0123"):
        seen = view(name, scopes)
        assert (seen.sessions, seen.jobs, seen.past, seen.everybody, seen.orphans, seen.errors) == ((), (), (), (), (), ())


def test_an_admin_sees_everybody_and_what_went_wrong() -> None:
    seen = view("boss", frozenset({"admin-ui", "delete:servers!user=boss"}))
    assert [one.user for one in seen.everybody] == ["ann", "bob"]  # what is stopped is no session
    assert [one.job_id for one in seen.orphans] == ["99"] and [one.text for one in seen.errors] == ["squeue: no answer"]
    assert seen.sessions == () and not seen.has_default


def test_numbers_are_said_as_documented() -> None:
    assert doctest.testmod(wording).failed == 0
