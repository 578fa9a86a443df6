"""What the hub knows of one server: its state, why it waits, what it uses, when its time ends, and what the last ones used."""

import json
import time
from dataclasses import asdict

from jupyterhub.scopes import needs_scope
from tornado import web

from emkit_spawner.base import JobSpawner
from emkit_spawner.job_token import JobTokenHandler


class SessionHandler(JobTokenHandler):
    """GET api/emkit/sessions/USER/SERVER, with the scope read:servers or with the token of the server's own job.

    `?usage=false`: without the usage, from what the scheduler has told of everybody's jobs already.
    """

    async def get(self, user_name: str, server_name: str = "") -> None:
        own = self.job_spawner()
        if own is not None and (own.user.name, own.name) == (user_name, server_name):
            await self._tell(own)
        else:
            await self._get(user_name, server_name)

    @needs_scope("read:servers")  # type: ignore[untyped-decorator]
    async def _get(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        if user is None or server_name not in {*user.spawners, *user.orm_spawners}:
            raise web.HTTPError(404, f"{user_name} has no server {server_name!r}.")
        await self._tell(user.get_spawner(server_name))

    async def _tell(self, spawner: JobSpawner) -> None:
        job_id = spawner.job_id
        waiting = usage = ends_at = None
        if job_id:
            scheduler = spawner.scheduler()
            waiting = await scheduler.waiting(job_id)
            if self.get_query_argument("usage", "true") != "false":  # of a running job it costs commands of its own
                usage = await scheduler.usage(job_id)
            ends_at = await scheduler.ends_at(job_id)
        record = spawner.record
        profile = spawner.user_options.get("profile") or next(iter(spawner.open_profiles), None)
        self.write(
            json.dumps(
                {
                    "state": state_of(spawner, queued=waiting is not None),
                    "job": record.job_name,
                    "job_id": job_id,
                    "profile": profile,
                    "waiting": None if waiting is None else asdict(waiting),
                    "usage": None if usage is None else asdict(usage),
                    "ends_at": ends_at,
                    "asked_at": record.asked_at,
                    "now": time.time(),  # a browser's clock may differ
                    "events": spawner.steps.events,
                    "past": record.past,
                }
            )
        )


def state_of(spawner: JobSpawner, *, queued: bool) -> str:
    """stopped, queued, starting, running, requeued (a running server's job waits again), or stopping."""
    if spawner.pending == "spawn":
        return "queued" if queued else "starting"
    if spawner.pending == "stop":
        return "stopping"
    if not spawner.ready:
        return "stopped"
    return "requeued" if queued else "running"
