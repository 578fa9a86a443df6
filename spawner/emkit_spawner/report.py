"""The one thing a job may tell the hub: its server's port. batchspawner's own route, which takes any attribute, is removed."""

from tornado import web

from emkit_spawner.job_token import JobTokenHandler

LOWEST_PORT = 1024


class JobReportHandler(JobTokenHandler):
    """POST api/emkit/job {"job": NAME, "port": PORT} with the job's own token."""

    async def post(self) -> None:
        spawner = self.own_spawner()
        body = self.get_json_body()
        if not isinstance(body, dict) or set(body) != {"job", "port"}:
            raise web.HTTPError(400, 'A job reports exactly {"job": NAME, "port": PORT}.')
        port = body["port"]
        if type(port) is not int or not LOWEST_PORT <= port <= 65535:
            raise web.HTTPError(400, f"A port is a whole number from {LOWEST_PORT} to 65535.")
        if body["job"] != spawner.record.job_name:
            raise web.HTTPError(403, "This token belongs to another job.")
        spawner.take_port(port)
        if spawner.ready:  # its job was requeued, and serves from another place
            await spawner.move()
            await self.proxy.add_user(spawner.user, spawner.name)
        self.set_status(204)
