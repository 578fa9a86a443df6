"""What may be asked for, what is refused, and in which words."""

from datetime import timedelta

import pytest
from emkit_jobs.profiles import Limits, Profile, Request, RequestError, Resources, grant
from pydantic import ValidationError

PROFILES = {
    "small": Profile(title="Small", cpus=1, memory_mb=2000, runtime=timedelta(hours=1)),
    "free": Profile(
        title="Free", cpus=4, partition="main", limits=Limits(cpus=16, memory_mb=64000, runtime=timedelta(hours=8), gpus=2)
    ),
}


def test_no_request_is_the_first_profile() -> None:
    assert grant(PROFILES, Request()) == Resources(cpus=1, memory_mb=2000, runtime=timedelta(hours=1))


def test_numbers_within_the_limits_replace_the_profiles_own() -> None:
    granted = grant(PROFILES, Request.read({"profile": "free", "cpus": 16, "memory_mb": 1, "hours": 0.5, "gpus": 2}))
    assert granted == Resources(cpus=16, memory_mb=1, runtime=timedelta(minutes=30), gpus=2, partition="main")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"profile": "free", "cpus": 17}, "cpus = 17 was asked for, but profile 'free' gives at most 16"),
        ({"profile": "small", "cpus": 2}, "profile 'small' has it fixed at 1"),
        ({"profile": "huge"}, "no profile 'huge': this hub offers small, free"),
        ({"profile": "free", "hours": 8.5}, "gives at most 8:00:00"),
        ({"cores": 2}, "Unknown option 'cores': this hub knows profile, cpus"),
        ({"cpus": 0}, "Option 'cpus' is 0"),
        ({"cpus": "$(reboot)"}, "Option 'cpus' is '$(reboot)'"),
        ({"profile": ["small"]}, "Option 'profile'"),
        ({"hours": float("nan")}, "Option 'hours'"),
    ],
)
def test_what_is_refused_is_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(RequestError) as error:
        grant(PROFILES, Request.read(options))
    assert text in str(error.value)


def test_the_profiles_own_value_is_no_request_for_more() -> None:
    assert grant(PROFILES, Request.read({"profile": "small", "cpus": 1})).cpus == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"colour": "red"},
        {"partition": "--wrap=id"},
        {"partition": "a b"},
        {"account": "a\nb"},
        {"environment": {"A=B": "1"}},
        {"cpus": 0},
    ],
)
def test_a_sites_mistake_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate({"title": "A", **fields})


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90", timedelta(minutes=90)),
        ("90:30", timedelta(minutes=90, seconds=30)),
        ("1:30:00", timedelta(hours=1.5)),
        ("1-12", timedelta(days=1.5)),
        ("1-12:30", timedelta(days=1, hours=12, minutes=30)),
        ("1-12:30:15", timedelta(days=1, hours=12, minutes=30, seconds=15)),
    ],
)
def test_times_are_read_as_slurm_reads_them(text: str, meant: timedelta) -> None:
    assert Resources.model_validate({"runtime": text}).runtime == meant


@pytest.mark.parametrize("text", ["", "1h", "1:2:3:4", "-5", "1-", "1 00:00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is no time: write minutes"):
        Resources.model_validate({"runtime": text})
