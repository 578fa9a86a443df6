"""Twelve hundred sessions held by one hub on a real Slurm: how many fail, how often Slurm is asked, how fast the hub's page is.

    python -m benchmarks.sessions [--sessions 1200] [--minutes 2] [--json FILE]

Each session is a job of its own, which reports the port of one stub server that all share, and sleeps: so the machine carries them,
and the hub has as much to do as with real ones. Slurm does not measure the use of these jobs: the supervisor of each would look at
all processes of the machine every second, which on one machine grows with the square of their number. Needs root, Debian's packages
slurm-wlm and munge, and about 6 MB of memory each.
"""

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
from emkit_hub.cluster import ClusterError
from emkit_hub.data_folder import free_ports
from emkit_hub.visitor import Visitor

from tests.faults.clusters import OneHost
from tests.faults.contenders import OURS
from tests.faults.site import Site
from tests.spawner.plain_hub import STUB, TOKEN

AT_ONCE = 20  # starts on their way at a time
TICK_S = 2.0
PARTITION = "PartitionName=held Nodes=em[1-3] OverSubscribe=FORCE:200 MaxTime=02:00:00 DefaultTime=02:00:00 State=UP"
REPORT = "import os, sys; from emkit_spawner.singleuser import report; report(PORT); os.execvp(sys.argv[1], sys.argv[1:])"
LINES = """
c.SlurmSpawner.tick_s = {tick_s}
c.SlurmSpawner.startup_poll_interval = 0.5
c.SlurmSpawner.sweep_s = 30
c.SlurmSpawner.profiles = {{}}
c.BatchSpawnerBase.req_partition = "held"
c.BatchSpawnerBase.req_memory = "10M"
c.BatchSpawnerBase.batchspawner_singleuser_cmd = {report!r}
c.BatchSpawnerBase.req_prologue = ""
c.Spawner.cmd = ["sleep", "infinity"]
c.Spawner.poll_interval = 30
c.JupyterHub.last_activity_interval = 300
c.JupyterHub.api_page_max_limit = 10000
c.JupyterHub.log_level = "WARN"
"""


async def start_all(site: Site, names: list[str]) -> list[str]:
    """Start a server for each; returns what the failed ones were told."""
    headers, gate, failed = {"Authorization": f"token {TOKEN}"}, asyncio.Semaphore(AT_ONCE), []
    async with aiohttp.ClientSession(f"{site.api.url}/", headers=headers, timeout=aiohttp.ClientTimeout(600)) as session:

        async def one(name: str) -> None:
            async with gate:
                async with session.post(f"hub/api/users/{name}/server") as answer:
                    said = await answer.text()
                if answer.status != 202:
                    failed.append(said)
                    return
                async with session.get(f"hub/api/users/{name}/server/progress") as events:
                    last = (await events.text()).strip().splitlines()[-1]
                if '"ready": true' not in last:
                    failed.append(last)

        await asyncio.gather(*map(one, names))
    return failed


def hold(site: Site, seconds: float) -> tuple[list[float], int, float]:
    """Look at a user's home page again and again: how long each took (s), how often squeue ran meanwhile, in how many seconds."""
    walls = []
    with Visitor(site.api.url) as visitor:
        if not visitor.login("p0", ""):
            raise RuntimeError("the hub refuses p0")
        asked, began = len(site.faults.calls("squeue")), time.monotonic()
        while time.monotonic() < began + seconds:
            at = time.perf_counter()
            visitor.get("/hub/home").raise_for_status()
            walls.append(time.perf_counter() - at)
        return sorted(walls), len(site.faults.calls("squeue")) - asked, time.monotonic() - began


def measure(sessions: int, minutes: float) -> dict[str, object]:
    names = [f"p{number}" for number in range(sessions)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emkit-sessions-")))
        folder.chmod(0o755)
        cluster = OneHost(folder / "slurm", PARTITION, use_every_s=0)
        stack.callback(cluster.stop)
        cluster.start()
        (port,) = free_ports(1)
        (folder / "stub.py").write_text(STUB)
        stub = subprocess.Popen(
            [sys.executable, str(folder / "stub.py")],
            env={**os.environ, "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}/"},
            stderr=subprocess.DEVNULL,
        )
        stack.callback(stub.wait)
        stack.callback(stub.terminate)
        report = shlex.join([sys.executable, "-c", REPORT.replace("PORT", str(port))])
        lines = LINES.format(tick_s=TICK_S, report=report).replace("{", "{{").replace("}", "}}")
        site = Site(folder / "site", cluster, replace(OURS, lines=OURS.lines + lines, start_timeout_s=600))
        stack.callback(site.stop)
        site.start()
        site.api.call("POST", "/users", {"usernames": names}).raise_for_status()
        began = time.monotonic()
        failed = asyncio.run(start_all(site, names))
        started_s = time.monotonic() - began
        walls, asked, held_s = hold(site, 60 * minutes)
        running = len(cluster.run("squeue", "--noheader", "--states=running", "--format=%i").split())
        ready = sum(len(user["servers"]) for user in site.api.call("GET", "/users?state=ready&limit=10000").json())
        with suppress(ClusterError):  # it answers late, and cancels them all the same
            cluster.run("scancel", "--partition=held")
        return {
            "sessions": sessions,
            "start_failed": len(failed),
            "first_failure": failed[0] if failed else "",
            "started_in_s": started_s,
            "held_s": held_s,
            "ready_at_the_end": ready,
            "jobs_at_the_end": running,
            "squeue_per_tick": asked * TICK_S / held_s,
            "page_p50_s": walls[len(walls) // 2],
            "page_p95_s": walls[int(0.95 * len(walls))],
            "pages": len(walls),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1200)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.sessions, given.minutes)
    for name, value in found.items():
        print(f"{name:18} {value:.3f}" if isinstance(value, float) else f"{name:18} {value}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
