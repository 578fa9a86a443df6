"""The form before a start: a card for each profile with what is free there and, within its limits, numbers to change.

Everything is there without JavaScript; with it, `form.js` asks `emkit_spawner.outlook` anew whenever a number changes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emkit_jobs.efficiency import advice
from emkit_jobs.profiles import Profile, Request, RequestError, Resources, grant
from emkit_jobs.scheduler import Free, Outlook, Prospects, Usage, in_partition
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from emkit_spawner import words
from emkit_spawner.refusal import StartRefused

Past = Sequence[Mapping[str, Any]]  # usages of past sessions, the newest last, each with its profile
MOST_GB = 2.0**20
HERE = Path(__file__).parent
_PAGES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_READ: Mapping[str, type] = {"profile": str, "cpus": int, "memory_mb": int, "memory_gb": float, "hours": float, "gpus": int}


@dataclass(frozen=True)
class Known:
    """What is known for the form, by profile: what a job would get, what is free there, and what the last session says.

    `outlook`: of the profile that is chosen.
    """

    shapes: Mapping[str, Resources] = field(default_factory=dict)
    rooms: Mapping[str, Free | None] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    outlook: Outlook | None = None


async def look(
    profiles: Mapping[str, Profile], chosen: Request, scheduler: Prospects, resources: Callable[[Request], Resources], past: Past
) -> Known:
    """What the scheduler tells of a request that names its profile. `resources`: what it would get; its RequestError passes."""
    asked = resources(chosen)
    shapes = {name: asked if name == chosen.profile else resources(Request(profile=name)) for name in profiles}
    free = await scheduler.free()
    rooms = {name: in_partition(free, shape.partition) for name, shape in shapes.items()}
    movable = [name for name, limit in profiles[str(chosen.profile)].limits if limit is not None]
    return Known(shapes, rooms, advised(past), await scheduler.outlook(asked, movable))


def first_choice(profiles: Mapping[str, Profile], options: Mapping[str, object] | None) -> Request:
    """What the form opens with: the options of the last start that worked, if they may still be chosen; else the first profile."""
    try:
        asked = Request.read(options or {})
        if asked.profile is not None:
            grant(profiles, asked)
            return asked
    except RequestError:
        pass
    return Request(profile=next(iter(profiles)))


def advised(past: Past) -> dict[str, str]:
    """Profile → what the last of the sessions with it says about the next."""
    return {str(session["profile"]): advice(Usage.read(session)) for session in past if session.get("profile")}


def nothing_open() -> str:
    """Instead of the form, for a user who may have none of the profiles."""
    return _PAGES.get_template("nothing_open.html").render()


def page(profiles: Mapping[str, Profile], chosen: Request, known: Known, url: str) -> str:
    """The form's HTML; `url`: of the live outlook (`emkit_spawner.outlook`)."""
    return _PAGES.get_template("form.html").render(
        url=url,
        profiles=profiles,
        chosen=chosen,
        empty=Request(),
        known=known,
        now=time.time(),
        words=words,
        style=Markup((HERE / "form.css").read_text()),
        script=Markup((HERE / "form.js").read_text()),
    )


def options(form: Mapping[str, list[str]]) -> dict[str, object]:
    """The options in a form's fields. Left out are empty ones and those of other cards ("cpus@CARD").

    StartRefused names a field that is no option or holds no number.
    """
    found: dict[str, object] = {}
    profile = next(iter(form.get("profile", [])), "")
    for name, values in form.items():
        key, _, card = name.partition("@")
        if key == "_xsrf" or card not in ("", profile) or not any(values):
            continue
        kind = _READ.get(key, str)
        try:
            found[key] = kind(values[0]) if len(values) == 1 else values
        except ValueError as error:
            raise StartRefused(f"{key} is {values[0]!r}: a number was needed.", reason="options") from error
    if isinstance(gigabytes := found.pop("memory_gb", None), float):
        if not 0 < gigabytes < MOST_GB:
            raise StartRefused(f"memory_gb is {gigabytes}: a number above 0 was needed.", reason="options")
        found["memory_mb"] = max(1, round(gigabytes * 1024))
    try:
        Request.read(found)
    except RequestError as error:
        raise StartRefused(str(error), reason="options") from error
    return found
