"""What a session's use says about the next request."""

import doctest
from dataclasses import asdict

import pytest
from emkit_jobs import efficiency
from emkit_jobs.efficiency import advice
from emkit_jobs.scheduler import Asked, Usage

HOUR_S = 3600.0


def usage(
    *,
    elapsed_s: float = HOUR_S,
    cpu_s: float | None = None,
    memory_mb: float | None = None,
    gpu: float | None = None,
    asked: Asked | None = None,
) -> Usage:
    return Usage(elapsed_s, cpu_s, memory_mb, gpu, None, asked or Asked(), None)


def test_examples_hold() -> None:
    assert doctest.testmod(efficiency).failed == 0


@pytest.mark.parametrize(
    ("used", "text"),
    [
        (usage(memory_mb=1229, asked=Asked(memory_mb=16384)), "It used 1.2 of 16 GB: ask for 2 GB."),
        (usage(memory_mb=16200, asked=Asked(memory_mb=16384)), "It used 16 of 16 GB: ask for 24 GB, a job that needs more"),
        (usage(cpu_s=1.1 * HOUR_S, asked=Asked(cpus=8)), "It kept 1.1 of 8 cores busy: ask for 2."),
        (usage(cpu_s=60, asked=Asked(cpus=2)), "It kept under 0.1 of 2 cores busy: ask for 1."),
        (usage(gpu=3, asked=Asked(gpus=1)), "Its GPU was busy for 3 % of the time: try without."),
        (usage(gpu=0, asked=Asked(gpus=2)), "Its 2 GPUs were busy for 0 % of the time"),
        (usage(elapsed_s=HOUR_S, asked=Asked(runtime_s=8 * HOUR_S)), "It ended after 1 h of 8 h: ask for 1.5 h."),
        (usage(memory_mb=12000, cpu_s=7 * HOUR_S, asked=Asked(cpus=8, memory_mb=16384)), "It used most of what it asked for."),
    ],
)
def test_the_advice_in_words(used: Usage, text: str) -> None:
    assert advice(used).startswith(text)


def test_a_smaller_request_is_said_to_start_sooner_once() -> None:
    told = advice(usage(memory_mb=100, cpu_s=100, asked=Asked(cpus=4, memory_mb=8192)))
    assert told.count("A smaller request starts sooner.") == 1


@pytest.mark.parametrize(
    "used",
    [
        usage(),
        usage(elapsed_s=60, memory_mb=10, asked=Asked(memory_mb=16384)),  # too short to say anything
        usage(asked=Asked(cpus=16, memory_mb=65536, gpus=2)),  # a site that measures nothing
    ],
)
def test_what_is_not_known_gives_no_advice(used: Usage) -> None:
    assert advice(used) == ""


def test_a_running_session_is_not_told_to_ask_for_less_time() -> None:
    used = Usage(HOUR_S, None, None, None, None, Asked(runtime_s=8 * HOUR_S), ends_at=9e9)
    assert advice(used) == ""


def test_usage_survives_the_database_with_other_keys_beside_it() -> None:
    used = usage(memory_mb=5, asked=Asked(cpus=2))
    assert Usage.read({**asdict(used), "job": "x", "profile": "small"}) == used
