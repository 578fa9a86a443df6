"""What a site offers (`Profile`), what a user asks for (`Request`), and what a job then gets (`Resources`).

All three are frozen and refuse keys they do not know, so that a typing error in the site's settings or in a request
cannot pass for a default. `None` means: whatever the scheduler gives.
"""

import re
import reprlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError

# Slurm's own names; nothing in them can be read as an option or a second directive
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,-]{0,63}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SHOWN = reprlib.Repr()  # what somebody sent, in a message: it may be a megabyte
SHOWN.maxstring = SHOWN.maxother = 80
_RUNTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


def runtime(text: str) -> timedelta:
    """The time of "90" (minutes), "90:00", "1:30:00", "1-12", "1-12:30", "1-12:30:00", as for Slurm."""
    found = _RUNTIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time: write minutes, MINUTES:SECONDS, HOURS:MINUTES:SECONDS or DAYS-HOURS.")
    numbers = [int(number) for number in found["clock"].split(":")]
    if found["days"] is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: (0, *numbers, 0), 2: (0, *numbers), 3: tuple(numbers)}[len(numbers)]
    return timedelta(days=int(found["days"] or 0), hours=hours, minutes=minutes, seconds=seconds)


# TOML has no type for a time span: it is written as Slurm's users write it
Runtime = Annotated[timedelta, BeforeValidator(lambda value: runtime(value) if isinstance(value, str) else value)]


class RequestError(ValueError):
    """A request that this site does not grant: the text says which value, what is granted, and how to ask."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Frozen):
    """The most a user may ask for instead of the profile's own value. A value without a limit is fixed."""

    cpus: PositiveInt | None = None
    memory_mb: PositiveInt | None = None
    runtime: Runtime | None = None
    gpus: PositiveInt | None = None


class Resources(_Frozen):
    """What one job gets. `runtime` is written as Slurm's users know it: "90" (minutes), "8:00:00", "3-00:00:00"."""

    cpus: PositiveInt | None = None
    memory_mb: PositiveInt | None = None
    runtime: Runtime | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None  # such as a site's queue for what runs beside an instrument
    environment: dict[Variable, str] = {}


class Profile(Resources):
    """One line of the form: resources with a title, and how far a user may move them."""

    title: str
    description: str = ""
    limits: Limits = Limits()
    groups: tuple[str, ...] = ()  # of the hub: only their members are offered it; empty: everybody
    idle: Runtime | None = None  # a server that did nothing for so long is stopped; None: what the site says, zero: never
    age: Runtime | None = None  # a server is stopped so long after its start; None and zero as above


class Request(_Frozen):
    """What a user asks for: a profile by name and, within its limits, other numbers."""

    profile: str | None = None
    cpus: PositiveInt | None = None
    memory_mb: PositiveInt | None = None
    hours: Annotated[float, Field(gt=0, le=24 * 366)] | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    rescue: bool = False  # start without the user's own settings

    @classmethod
    def read(cls, options: Mapping[str, object]) -> "Request":
        """The request in `options`; RequestError names the first key that is unknown or holds no such value."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise RequestError(f"Unknown option {SHOWN.repr(key)}: this hub knows {known}. Leave it out.") from error
            raise RequestError(f"Option {SHOWN.repr(key)} is {SHOWN.repr(first['input'])}: {first['msg']}.") from error

    def asked(self) -> dict[str, object]:
        """The numbers that were asked for, in the profile's own units."""
        runtime = None if self.hours is None else timedelta(hours=self.hours)
        values = {"cpus": self.cpus, "memory_mb": self.memory_mb, "runtime": runtime, "gpus": self.gpus}
        return {name: value for name, value in values.items() if value is not None}


def offered(profiles: Mapping[str, Profile], groups: Collection[str]) -> dict[str, Profile]:
    """The profiles that a member of these groups may choose from."""
    return {name: profile for name, profile in profiles.items() if not profile.groups or set(profile.groups) & set(groups)}


def grant(profiles: Mapping[str, Profile], request: Request) -> Resources:
    """What `request` gets of `profiles` (the first one when it names none); RequestError when it asks for too much."""
    name = next(iter(profiles)) if request.profile is None else request.profile
    if name not in profiles:
        raise RequestError(f"There is no profile {SHOWN.repr(name)}: this hub offers {', '.join(profiles)}.")
    profile = profiles[name]
    own = profile.model_dump(include=set(Resources.model_fields))
    for key, value in request.asked().items():
        limit = getattr(profile.limits, key)
        if value == own[key]:
            continue
        if limit is None:
            raise RequestError(f"{key} = {value} was asked for, but profile {name!r} has it fixed at {own[key]}: leave it out.")
        if value > limit:
            raise RequestError(f"{key} = {value} was asked for, but profile {name!r} gives at most {limit}.")
        own[key] = value
    return Resources.model_validate(own)
