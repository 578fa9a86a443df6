"""A hub and its proxy as jobs of this machine: started, watched, ended with everything they started.

They outlive whoever started them, like the servers do; so a second start finds what an earlier one, killed by force, left behind.
"""

import asyncio
import os
import secrets
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from emkit_jobs.local import LocalScheduler
from emkit_jobs.scheduler import Job, Jobs, State
from emkit_jobs.script import render

from emkit_hub import proxy
from emkit_hub.config import DASHBOARDS_PATH, HOST
from emkit_hub.data_folder import DataFolder

UP_WITHIN_S = 120.0
TICK_S = 0.2
SCRIPT = "#!/bin/bash\nexec {{ command }}\n"  # not a session's: a hub that fails is not tried again without its settings


class HubError(RuntimeError):
    """The hub does not come up or has ended: why, with the end of its log."""


class RunningHub:
    """`async with RunningHub(folder, port) as hub` brings both up; leaving it ends them and, with them, all servers.

    `servers`: where these are jobs; None: of this machine, in the data folder.
    """

    def __init__(
        self, folder: DataFolder, port: int, *, environment: dict[str, str] | None = None, servers: Jobs | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.environment = environment or {}
        self.services = LocalScheduler(folder.services, grace_s=15.0)
        self.servers = servers or LocalScheduler(folder.jobs)
        self._jobs: dict[str, str] = {}  # "hub" and "proxy" → job

    async def __aenter__(self) -> "RunningHub":
        for left_over in (await self.services.find("")).values():  # of a start that was killed by force
            await self.services.cancel(left_over)
        self._check_port_free()
        async with AsyncExitStack() as undo:  # Ctrl-C during the start too must leave nothing running
            undo.push_async_callback(self.stop)
            await self.start_proxy()
            await self.start_hub()
            undo.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    def _check_port_free(self) -> None:
        try:
            socket.create_server((HOST, self.port)).close()
        except OSError as error:
            raise HubError(
                f"Port {self.port} of {HOST} cannot be used: {error.strerror}. "
                "Stop what listens there, or choose another port: scripts/up --port 8001"
            ) from error

    async def start_proxy(self) -> None:
        environment = {"CONFIGPROXY_AUTH_TOKEN": self.folder.proxy_token, "PATH": os.defpath}
        await self._submit("proxy", proxy.command(self.folder, HOST, self.port), environment)

    async def start_hub(self) -> None:
        """Start the hub and wait until its pages and its dashboards answer. HubError with the log's end if they do not."""
        config = Path(__file__).parents[1] / "jupyterhub_config.py"
        environment = {
            **os.environ,
            **self.environment,
            "EMKIT_DATA": str(self.folder.path),
            "EMKIT_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        await self._submit("hub", [sys.executable, "-m", "jupyterhub", "-f", str(config)], environment)
        last = time.monotonic() + UP_WITHIN_S
        async with aiohttp.ClientSession() as session:
            # the hub by itself first: the proxy logs a failure for every question to a hub that is not there yet
            own = f"http://{HOST}:{self.folder.ports()['hub']}/hub/health"
            while not await _answer(session, own, self.url + DASHBOARDS_PATH):
                await self.check_alive()
                if time.monotonic() > last:
                    told = await self.services.explain(self._jobs["hub"])
                    raise HubError(f"The hub does not answer at {self.url} after {UP_WITHIN_S:.0f} s. {told}")
                await asyncio.sleep(TICK_S)

    async def check_alive(self) -> None:
        """HubError when the hub or its proxy has ended."""
        for what, job_id in self._jobs.items():
            if (await self.services.query_many([job_id]))[job_id].state is State.FINISHED:
                raise HubError(f"The {what} has ended. {await self.services.explain(job_id)}")

    async def stop(self) -> None:
        """End the hub (and with it the dashboards), then all servers, then the proxy."""
        if "hub" in self._jobs:
            await self.services.cancel(self._jobs.pop("hub"))
        await asyncio.gather(*(self.servers.cancel(job_id) for job_id in (await self.servers.find("")).values()))
        if "proxy" in self._jobs:
            await self.services.cancel(self._jobs.pop("proxy"))

    def job(self, what: str) -> str:
        """The id of the "hub" or the "proxy", among `self.services`."""
        return self._jobs[what]

    def log(self, what: str) -> Path:
        return self.services.folder / self._jobs[what] / "log"

    async def _submit(self, what: str, command: list[str], environment: dict[str, str]) -> None:
        script = render(SCRIPT, command=command)
        name = f"{what}-{secrets.token_hex(4)}"
        self._jobs[what] = await self.services.submit(Job(name, script, self.folder.path, environment))


async def _answer(session: aiohttp.ClientSession, *urls: str) -> bool:
    for url in urls:
        try:
            async with session.get(url, allow_redirects=False) as response:
                # the hub answers for a service whose route the proxy does not know yet, by sending the visitor below /hub/
                if response.status >= 400 or response.headers.get("Location", "").startswith("/hub/services/"):
                    return False
        except aiohttp.ClientError:
            return False
    return True
