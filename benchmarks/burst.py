"""A hundred people press Start at once: our spawner, JupyterHub's own simple one, and a stub that starts no process at all.

    python -m benchmarks.burst [--people 100] [--rounds 5] [--json FILE]

The first two start the same stub server as a process for each person; the third hands out one that is there already, so its time is
what JupyterHub itself costs: tokens, OAuth clients, its database, the routes. Interleaved; what counts is the ratio of a round.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from emkit_hub.data_folder import free_ports

from tests.spawner.plain_hub import STUB, TOKEN, PlainHub, plain_hub

LINES = """
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.log_level = "WARN"
c.Spawner.poll_interval = 30
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600
"""
OURS, SIMPLE, STUB_SPAWNER = "emkit-local", "simple", "stub spawner"
SPAWNERS = {
    OURS: 'c.JupyterHub.spawner_class = "emkit-local"\nc.LocalSpawner.jobs_folder = "{folder}/jobs"\n',
    SIMPLE: 'c.JupyterHub.spawner_class = "simple"\n',
    STUB_SPAWNER: """
from jupyterhub.spawner import Spawner

class Stub(Spawner):
    up = False

    async def start(self):
        self.up = True
        return "127.0.0.1", {port}

    async def poll(self):
        return None if self.up else 0

    async def stop(self, now=False):
        self.up = False

c.JupyterHub.spawner_class = Stub
""",
}


async def burst(hub: PlainHub, people: list[str]) -> float:
    """Seconds from the first request until the last server is ready; all are stopped again."""
    headers = {"Authorization": f"token {TOKEN}"}
    connector = aiohttp.TCPConnector(limit=len(people))
    async with aiohttp.ClientSession(f"{hub.url}/", headers=headers, connector=connector) as session:

        async def call(method: str, path: str) -> None:
            async with session.request(method, f"hub/api/{path}") as answer:
                if answer.status not in (201, 202, 204):
                    raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")

        async def ready() -> int:
            async with session.get("hub/api/users", params={"state": "ready", "limit": 1000}) as answer:
                return len(await answer.json())

        async def until(count: int) -> None:
            async with asyncio.timeout(180):
                while await ready() != count:
                    await asyncio.sleep(0.2)

        began = time.perf_counter()
        await asyncio.gather(*(call("POST", f"users/{name}/server") for name in people))
        await until(len(people))
        wall = time.perf_counter() - began
        await asyncio.gather(*(call("DELETE", f"users/{name}/server") for name in people))
        await until(0)
        return wall


def measure(people: int, rounds: int) -> list[dict[str, float]]:
    names = [f"p{number}" for number in range(people)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emkit-burst-")))
        (port,) = free_ports(1)
        (folder / "stub.py").write_text(STUB)
        stub = subprocess.Popen(
            [sys.executable, str(folder / "stub.py")],
            env={**os.environ, "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}/"},
            stderr=subprocess.DEVNULL,
        )
        stack.callback(stub.wait)
        stack.callback(stub.terminate)
        hubs = {}
        for number, (name, lines) in enumerate(SPAWNERS.items()):
            (own := folder / str(number)).mkdir()
            own_lines = LINES + (lines.replace("{port}", str(port)).replace("{folder}", str(own)))
            hubs[name] = stack.enter_context(plain_hub(own, own_lines))
            hubs[name].call("POST", "/users", {"usernames": names}).raise_for_status()
            asyncio.run(burst(hubs[name], names[:5]))  # the first ones compile and fill the page cache
        return [{name: asyncio.run(burst(hub, names)) for name, hub in hubs.items()} for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    measured = measure(given.people, given.rounds)
    found: dict[str, dict[str, object]] = {}
    for name in SPAWNERS:
        walls = sorted(one[name] for one in measured)
        over = {peer: sorted(one[name] / one[peer] for one in measured) for peer in (SIMPLE, STUB_SPAWNER)}
        found[name] = {"median_s": statistics.median(walls), "range_s": [walls[0], walls[-1]], "ratios": over}
        ratios = "; ".join(
            f"× {statistics.median(ratio):.2f} ({ratio[0]:.2f}–{ratio[-1]:.2f}) of {peer}"
            for peer, ratio in over.items()
            if peer != name
        )
        print(f"{name:12} {given.people} servers in {statistics.median(walls):.1f} s ({walls[0]:.1f}–{walls[-1]:.1f}), {ratios}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
