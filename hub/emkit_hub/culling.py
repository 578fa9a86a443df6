"""`python -m emkit_hub.culling`, a service of the hub: stops servers that nobody uses, and those that are too old.

It asks each ready server itself (`emkit_hub.activity`), because the hub's `last_activity`, which jupyterhub-idle-culler goes by,
is wrong both ways: an open page keeps an idle server for ever, and hours of silent computing count for nothing.

Nothing is stopped on doubt. A server that does not answer is left alone; who has a server that waits or starts is left alone; a
server without that extension is judged by the hub's word, which errs on the side of keeping it.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import aiohttp
from emkit_jobs.profiles import Profile
from pydantic import BaseModel, ConfigDict

from emkit_hub.settings import Settings

ENVIRONMENT_VARIABLE = "EMKIT_CULLING"
SCOPES = ["list:users", "read:servers", "delete:servers", "access:servers"]
PATIENCE_S = 10.0
AT_ONCE = 20
PAGE = "application/jupyterhub-pagination+json"
NEVER = timedelta(0)

log = logging.getLogger("emkit-culling")


class Limits(BaseModel):
    """None: never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle: timedelta | None
    age: timedelta | None

    @classmethod
    def of(cls, settings: Settings, profile: Profile) -> "Limits":
        """A profile's own, where it says something; zero means never there."""
        idle, age = (
            site if own is None else own
            for own, site in ((profile.idle, settings.culling.idle), (profile.age, settings.culling.age))
        )
        return cls(idle=idle or None, age=age or None)


class Culling(BaseModel):
    """What the service is told by the hub's configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers_url: str  # the proxy's
    limits: Mapping[str, Limits]  # by profile; the first is the default
    every_s: float
    terminals: Literal["open", "running"]

    @classmethod
    def of(cls, settings: Settings, servers_url: str) -> "Culling | None":
        """None when nothing is ever stopped."""
        limits = {name: Limits.of(settings, profile) for name, profile in settings.profiles.items()}
        if not any(one.idle or one.age for one in limits.values()):
            return None
        culling = settings.culling
        return cls(servers_url=servers_url, limits=limits, every_s=culling.every_s, terminals=culling.terminals)

    def of_server(self, server: Mapping[str, Any]) -> Limits:
        """A profile that is gone from the settings counts as the default one."""
        name = (server["user_options"] or {}).get("profile")
        return self.limits.get(str(name)) or next(iter(self.limits.values()))

    def works(self, told: Mapping[str, Any]) -> bool:
        """Whether what a server tells of itself is work."""
        return bool(told["kernels"] or told["terminals"][self.terminals] or told["processes"])

    def verdict(self, server: Mapping[str, Any], told: Mapping[str, Any] | None, now: datetime) -> str:
        """Why this ready server is to be stopped; "" to keep it. `told`: its own words, or None where it knows none."""
        limits = self.of_server(server)
        age = now - datetime.fromisoformat(server["started"])
        if limits.age is not None and age > limits.age:
            return f"it is {_shown(age)} old, and its profile allows {_shown(limits.age)}"
        if limits.idle is None or (told is not None and self.works(told)):
            return ""
        idle = timedelta(seconds=told["idle_s"]) if told is not None else now - datetime.fromisoformat(server["last_activity"])
        if idle > limits.idle:
            return f"it did nothing for {_shown(idle)}, and its profile allows {_shown(limits.idle)}"
        return ""


def _shown(time: timedelta) -> str:
    return str(timedelta(seconds=round(time.total_seconds())))


class Culler:
    def __init__(self, culling: Culling, session: aiohttp.ClientSession, hub_api: str) -> None:
        self._culling, self._session, self._hub_api = culling, session, hub_api
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("The hub does not answer, nothing is stopped: %s", error or type(error).__name__)
            await asyncio.sleep(self._culling.every_s)

    async def look(self) -> None:
        """One look at all servers."""
        waiting = [
            asyncio.create_task(self._consider(user["name"], server))
            async for user in self._users()
            if not any(server["pending"] for server in user["servers"].values())
            for server in user["servers"].values()
            if server["ready"]
        ]
        await asyncio.gather(*waiting)

    async def _users(self) -> AsyncIterator[dict[str, Any]]:
        """Those with a ready server, page by page."""
        url: str | None = f"{self._hub_api}/users?state=ready"
        while url is not None:
            async with self._session.get(url, headers={"Accept": PAGE}) as answer:
                answer.raise_for_status()
                found = await answer.json(content_type=None)
            for user in found["items"]:
                yield user
            following = found["_pagination"]["next"]
            url = following["url"] if following else None

    async def _consider(self, user: str, server: Mapping[str, Any]) -> None:
        async with self._gate:
            try:
                told = await self._ask(server["url"])
                reason = self._culling.verdict(server, told, datetime.now(UTC))
                if not reason:
                    return
                log.info("Stopping the server %s of %s: %s", server["name"] or "(default)", user, reason)
                path = f"servers/{server['name']}" if server["name"] else "server"
                async with self._session.delete(f"{self._hub_api}/users/{user}/{path}") as answer:
                    answer.raise_for_status()
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("The server %s of %s is left alone: %s", server["name"] or "(default)", user, error or "no answer")

    async def _ask(self, path: str) -> dict[str, Any] | None:
        """What the server tells of itself; None when it has no such route."""
        async with self._session.get(f"{self._culling.servers_url}{path}api/emkit/activity", allow_redirects=False) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            if answer.status != 200:
                raise aiohttp.ClientPayloadError(f"it answered with {answer.status}")
            told: dict[str, Any] = await answer.json(content_type=None)
            return told


async def main(culling: Culling) -> None:
    headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        await Culler(culling, session, os.environ["JUPYTERHUB_API_URL"]).run()


if __name__ == "__main__":
    logging.basicConfig(format="[%(levelname).1s %(asctime)s %(name)s] %(message)s", level=logging.INFO)
    if ENVIRONMENT_VARIABLE not in os.environ:
        sys.exit(f"{ENVIRONMENT_VARIABLE} is not set: the hub starts this, from the section [culling] of the settings.")
    asyncio.run(main(Culling.model_validate(json.loads(os.environ[ENVIRONMENT_VARIABLE]))))
