"""The form before a start: one card for each profile and, within its limits, numbers to change. And what comes back from it."""

from collections.abc import Mapping
from pathlib import Path

from emkit_jobs.profiles import Profile, Request, RequestError
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emkit_spawner.refusal import StartRefused

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_READ: Mapping[str, type] = {"profile": str, "cpus": int, "memory_mb": int, "hours": float, "gpus": int}


def page(profiles: Mapping[str, Profile], chosen: Mapping[str, object] | None) -> str:
    """The form's HTML; `chosen`: the options of the last start that worked."""
    return _PAGES.get_template("form.html").render(
        profiles=profiles, chosen=Request.read(chosen or {}), empty=Request(), first=next(iter(profiles))
    )


def options(form: Mapping[str, list[str]]) -> dict[str, object]:
    """The options in a form's fields, empty ones left out; StartRefused names a field that is no option or holds no number."""
    found: dict[str, object] = {}
    for key, values in form.items():
        if key == "_xsrf" or not any(values):
            continue
        kind = _READ.get(key, str)
        try:
            found[key] = kind(values[0]) if len(values) == 1 else values
        except ValueError as error:
            raise StartRefused(f"{key} is {values[0]!r}: a number was needed.", reason="options") from error
    try:
        Request.read(found)
    except RequestError as error:
        raise StartRefused(str(error), reason="options") from error
    return found
