"""A server asks for its own next job: stop this one, and start a new one with the same options. The page saves its work before."""

import asyncio

from jupyterhub.spawner import SpawnException
from tornado import web

from emkit_spawner.base import JobSpawner
from emkit_spawner.job_token import JobTokenHandler

_RUNNING: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly


class ResubmitHandler(JobTokenHandler):
    """POST api/emkit/resubmit with the job's own token: 202 at once, since the answer's reader is about to be stopped."""

    async def post(self) -> None:
        spawner = self.own_spawner()
        if not spawner.ready:
            raise web.HTTPError(409, f"This server is not running: {spawner.pending or 'stopped'}.")
        task = asyncio.create_task(self._again(spawner, dict(spawner.user_options)))
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)
        self.set_status(202)

    async def _again(self, spawner: JobSpawner, options: dict[str, object]) -> None:
        user, name, shown = spawner.user, spawner.name, spawner.display_name
        await (await self.stop_single_user(user, name))
        try:
            await self.spawn_single_user(user, name, shown, options=options)
        except (SpawnException, web.HTTPError) as error:  # the user's page tells it too
            self.log.warning("%s was stopped, but its next job was refused: %s", spawner.record.job_name, error)
