"""A careless template does whatever a guest types: what it can reach, and whom it can disturb."""

import ast
import asyncio
import json
import os
import re
import time
from pathlib import Path

import pytest
from emkit_hub.dashboards.confinement import landlock_version
from emkit_hub.dashboards.warden import usage_by_session

from tests.dashboards.site import Guest, Site, until
from tests.dashboards.test_service import lost, order

pytestmark = [pytest.mark.hub, pytest.mark.asyncio]


async def obey(guest: Guest, *command: object, seconds: float = 30) -> str:
    """What the dashboard with holes answers to a command, in a fresh kernel."""
    await guest.leave()
    async with guest.channels(await guest.open("holes", "?secret=42")) as channels:
        answer = await order(channels, *command)
        return str(json.loads(await channels.changed(answer, "value", bool, seconds))[1])


async def test_the_environment_holds_no_secret_and_no_query(site: Site, ann: Guest) -> None:
    environment = await obey(ann, "environment")
    assert not re.search(r"JUPYTERHUB|TOKEN|CONFIGPROXY|EMKIT_DASHBOARDS|secret=42|QUERY|SITE", environment), environment


async def test_only_its_own_folder_can_be_written(site: Site, ann: Guest) -> None:
    folder, home, _, _ = ast.literal_eval(await obey(ann, "where"))
    assert home == folder, "the home is the working folder"
    assert await obey(ann, "write", "here", 10) == "None"
    for path in ("/tmp/emkit-hole", f"{folder}/../hole", "/dev/shm/emkit-hole", "/etc/emkit-hole"):
        assert await obey(ann, "write", path, 10) in ("PermissionError", "FileNotFoundError"), path
    assert not os.path.exists(folder), "and it goes with its kernel"


@pytest.mark.skipif(landlock_version() == 0, reason="this system has no Landlock, and says so in the service's log")
async def test_what_it_cannot_reach(site: Site, ann: Guest) -> None:
    forkserver = ast.literal_eval(await obey(ann, "where"))[3]
    service = int(Path(f"/proc/{forkserver}/stat").read_text().rpartition(")")[2].split()[1])  # its parent
    for path in (f"/proc/{service}/environ", f"/proc/{forkserver}/environ", f"/proc/{os.getpid()}/environ", str(site.log)):
        assert await obey(ann, "read", path) == "PermissionError", path
    for folder in ("/tmp", "/root", os.path.dirname(site.log)):
        assert await obey(ann, "list", folder) in ("PermissionError", "FileNotFoundError"), folder
    for command in (("connect", int(site.url.rpartition(":")[2])), ("listen",), ("kill", service, 9), ("kill", os.getpid(), 0)):
        assert await obey(ann, *command) == "PermissionError", command
    assert await obey(ann, "trace", service) == "-1"


async def test_memory_has_a_limit(site: Site, ann: Guest) -> None:
    assert await obey(ann, "memory", 0.1) == "None"
    assert await obey(ann, "memory", 30) == "MemoryError"
    await ann.leave()
    kernel = await ann.open("holes")
    async with ann.channels(kernel) as channels:
        await order(channels, "memory", 0.8)
        await until(lambda: lost(ann, kernel), 30, site.log)
    assert "it used more than 0.5 GiB of memory" in (await ann.ask(f"place/{kernel}"))[1]


async def test_its_disk_has_a_limit(site: Site, ann: Guest) -> None:
    assert await obey(ann, "write", "big", 2**30) == "OSError", "one file"
    await ann.leave()
    kernel = await ann.open("holes")
    async with ann.channels(kernel) as channels:
        for number in range(3):
            await order(channels, "write", f"part{number}", 20 * 2**20)
        await until(lambda: lost(ann, kernel), 30, site.log)
    assert "it wrote more than 0.05 GiB" in (await ann.ask(f"place/{kernel}"))[1]


@pytest.mark.parametrize("command", [("bomb",), ("loop",), ("print", 200_000_000)])
async def test_a_guest_beside_it_is_served(site: Site, ann: Guest, bob: Guest, command: tuple[object, ...]) -> None:
    async with ann.channels(await ann.open("holes")) as channels:
        await order(channels, *command)
        started = time.monotonic()
        async with bob.channels(await bob.open("slider")) as others, asyncio.timeout(30):
            assert await others.models()
        print(f"{command[0]}: beside it a guest was served in {time.monotonic() - started:.2f} s")


@pytest.mark.parametrize("command", ["stray", "bomb"])
async def test_what_it_started_ends_with_it(site: Site, ann: Guest, command: str) -> None:
    kernel = await ann.open("holes")
    async with ann.channels(kernel) as channels:
        answer = await order(channels, "where")
        session = ast.literal_eval(json.loads(await channels.changed(answer, "value", bool))[1])[2]
        await order(channels, command)
        await until(lambda: usage_by_session()[session].processes > 1, 30, site.log)
    await ann.leave()
    await until(lambda: session not in usage_by_session(), 30, site.log)
