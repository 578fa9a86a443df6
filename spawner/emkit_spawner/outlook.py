"""What the spawn form asks while its numbers change: when would this start, and what would start at once."""

import json
import time
from typing import Any

from emkit_jobs.profiles import Request, RequestError, Resources
from emkit_jobs.scheduler import Free, Outlook, SchedulerError
from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from emkit_spawner import words
from emkit_spawner.base import JobSpawner
from emkit_spawner.form import Known, options
from emkit_spawner.refusal import StartRefused


class OutlookHandler(APIHandler):
    """GET api/emkit/outlook?user=USER&profile=…&cpus=…, for whoever may start that user's server (default: one's own).

    The fields are the form's; what a start would refuse is refused here with the same words.
    """

    async def get(self) -> None:
        own = self.current_user.name if self.current_user is not None else ""
        await self._tell(self.get_query_argument("user", own))

    @needs_scope("servers")  # type: ignore[untyped-decorator]
    async def _tell(self, user_name: str) -> None:
        user = self.find_user(user_name)
        spawner = user.get_spawner("") if user is not None else None
        if not isinstance(spawner, JobSpawner) or not spawner.profiles:
            raise web.HTTPError(404, f"{user_name!r} has no profiles to choose from.")
        fields = {name: self.get_query_arguments(name) for name in self.request.query_arguments if name != "user"}
        try:
            request = Request.read({"profile": next(iter(spawner.open_profiles), None), **options(fields)})
            known = await spawner.known(request)
        except (StartRefused, RequestError, SchedulerError) as error:  # the last: the user's name can be no account's
            raise web.HTTPError(400, str(error)) from error
        self.write(json.dumps(_told(known.shapes[str(request.profile)], known)))


def _told(asked: Resources, known: Known) -> dict[str, Any]:
    now = time.time()
    outlook = known.outlook or Outlook(None, now)
    return {
        "asked_at": outlook.asked_at,
        "starts_at": outlook.starts_at,
        "state": words.state(outlook, now),
        "text": words.start(outlook, now),
        "sooner": outlook.sooner and _sooner(asked, outlook.sooner),
        "free": {name: _room(room, known.shapes[name], now) for name, room in known.rooms.items()},
    }


def _room(room: Free | None, shape: Resources, now: float) -> dict[str, Any]:
    return {**(room.shown() if room else {}), "fits": words.fits(room, shape), "text": words.free(room, shape, now)}


def _sooner(asked: Resources, instead: Resources) -> dict[str, Any]:
    """The smaller shape in words, and the fields of the form that make it."""
    fields: dict[str, object] = {
        "cpus": instead.cpus,
        "memory_gb": instead.memory_mb and round(instead.memory_mb / 1024, 2),
        "hours": instead.runtime and round(instead.runtime.total_seconds() / 3600, 2),
        "gpus": instead.gpus,
    }
    changed = {"cpus": instead.cpus != asked.cpus, "memory_gb": instead.memory_mb != asked.memory_mb}
    changed |= {"hours": instead.runtime != asked.runtime, "gpus": instead.gpus != asked.gpus}
    return {"text": words.sooner(asked, instead), "fields": {name: value for name, value in fields.items() if changed[name]}}
