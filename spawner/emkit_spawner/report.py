"""The one thing a job may tell the hub: its server's port. batchspawner's own route, which takes any attribute, is removed."""

from jupyterhub import apihandlers
from jupyterhub.apihandlers import APIHandler
from tornado import web

from emkit_spawner.base import JobSpawner

ROUTE = r"/api/emkit/job"
LOWEST_PORT = 1024


class JobReportHandler(APIHandler):
    """POST {"job": NAME, "port": PORT} with the job's own token."""

    async def post(self) -> None:
        spawner = self._spawner()
        body = self.get_json_body()
        if not isinstance(body, dict) or set(body) != {"job", "port"}:
            raise web.HTTPError(400, 'A job reports exactly {"job": NAME, "port": PORT}.')
        port = body["port"]
        if type(port) is not int or not LOWEST_PORT <= port <= 65535:
            raise web.HTTPError(400, f"A port is a whole number from {LOWEST_PORT} to 65535.")
        if body["job"] != spawner.job_name:
            raise web.HTTPError(403, "This token belongs to another job.")
        spawner.take_port(port)
        if spawner.ready:  # its job was requeued, and serves from another place
            await spawner.move()
            await self.proxy.add_user(spawner.user, spawner.name)
        self.set_status(204)

    def _spawner(self) -> JobSpawner:
        """The spawner whose present job holds the request's token; 403 for any other token, the user's own included."""
        token = self.get_token()
        user = self.find_user(token.user.name) if token is not None and token.user is not None else None
        for spawner in user.spawners.values() if user is not None else ():
            if isinstance(spawner, JobSpawner) and spawner.token_id == token.id:
                return spawner
        raise web.HTTPError(403, "Only a job may report, with its own token.")


def install() -> None:
    """Put our handler among the hub's, and take out the one that importing batchspawner put there."""
    kept = [handler for handler in apihandlers.default_handlers if handler[0] not in (r"/api/batchspawner", ROUTE)]
    apihandlers.default_handlers[:] = [*kept, (ROUTE, JobReportHandler)]
