"""Requests of a job itself: its token tells which spawner's."""

from jupyterhub.apihandlers import APIHandler
from tornado import web

from emkit_spawner.base import JobSpawner


class JobTokenHandler(APIHandler):
    """A handler for requests that carry a job's own token."""

    def job_spawner(self) -> JobSpawner | None:
        """The spawner whose present job holds the request's token; None for any other token, the user's own included."""
        token = self.get_token()
        user = self.find_user(token.user.name) if token is not None and token.user is not None else None
        for spawner in user.spawners.values() if user is not None else ():
            if isinstance(spawner, JobSpawner) and spawner.record.token_id == token.id:
                return spawner
        return None

    def own_spawner(self) -> JobSpawner:
        """As `job_spawner`; 403 where that is None."""
        spawner = self.job_spawner()
        if spawner is None:
            raise web.HTTPError(403, "Only a job may ask this, with its own token.")
        return spawner
