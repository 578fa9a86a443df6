"""From Start to a usable server, over the bare server itself: our spawner, and JupyterHub's SimpleLocalProcessSpawner beside it.

    python benchmarks/spawn.py [--rounds 7] [--json FILE]

Each round, interleaved: the same `jupyterhub-singleuser` command with the same environment from exec to its first 200 (bare), a
start through a hub with `emkit-local`, and one through a hub with `simple`, each from the POST to the hub's "ready". What counts is
the difference to the bare server of the same round: that is the spawner's and the hub's own share.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import requests
from emkit_hub import proxy
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from emkit_jobs.processes import PROC, carrying

SPAWNERS = ("emkit-local", "simple")
COMMAND = [sys.executable, "-m", "jupyterhub.singleuser", *(["--allow-root"] if os.geteuid() == 0 else [])]


def hub_with(spawner: str, folder: Path) -> RunningHub:
    settings = folder / f"{spawner}.toml"
    settings.write_text(f'spawner = "{spawner}"\n[dashboards]\npool = 0\n')
    data = DataFolder(folder / spawner)
    data.prepare()
    return RunningHub(data, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(settings), "EMKIT_DASHBOARDS_ACCOUNT": ""})


def start(owner: Visitor) -> float:
    """Seconds from the request to a server that the hub calls ready; it is stopped again."""
    began = time.perf_counter()
    last = owner.start_server()[-1]
    wall = time.perf_counter() - began
    if not last.get("ready"):
        raise RuntimeError(str(last["message"]))
    owner.stop_server()
    return wall


def environment_of_a_server(hub: RunningHub, owner: Visitor) -> dict[str, str]:
    owner.start_server()
    (job,) = asyncio.run(hub.servers.find("")).values()
    pid = min(carrying(job))
    words = (PROC / str(pid) / "environ").read_bytes().decode().split("\0")
    owner.stop_server()
    return dict(word.split("=", 1) for word in words if "=" in word)


def bare(environment: dict[str, str]) -> float:
    """Seconds from exec to the first 200 of the server's own API."""
    port = free_ports(1)[0]
    service = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])._replace(netloc=f"127.0.0.1:{port}")
    url = service._replace(path=service.path + "api").geturl()
    began = time.perf_counter()
    process = subprocess.Popen(
        COMMAND,
        env={**environment, "JUPYTERHUB_SERVICE_URL": service.geturl()},
        cwd=environment["HOME"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while True:
        try:
            if requests.get(url, timeout=60).status_code == 200:
                break
        except requests.ConnectionError:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(COMMAND)} ended with {process.returncode}") from None
            time.sleep(0.01)
    wall = time.perf_counter() - began
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    return wall


async def rounds(count: int) -> list[dict[str, float]]:
    proxy.install()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emkit-spawn-")))
        hubs = {spawner: await stack.enter_async_context(hub_with(spawner, folder)) for spawner in SPAWNERS}
        return await asyncio.to_thread(measure, hubs, count)


def measure(hubs: dict[str, RunningHub], count: int) -> list[dict[str, float]]:
    owners = {spawner: Visitor(hub.url) for spawner, hub in hubs.items()}
    for spawner, owner in owners.items():
        if not owner.login("owner", hubs[spawner].folder.owner_password):
            raise RuntimeError(f"the hub with {spawner} refuses its owner")
        start(owner)  # the first one compiles and fills the page cache
    environment = environment_of_a_server(hubs["emkit-local"], owners["emkit-local"])
    bare(environment)
    return [{"bare": bare(environment), **{name: start(owner) for name, owner in owners.items()}} for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    measured = asyncio.run(rounds(given.rounds))
    found: dict[str, dict[str, object]] = {}
    for name in ("bare", *SPAWNERS):
        walls = sorted(one[name] for one in measured)
        over = sorted(one[name] - one["bare"] for one in measured)
        found[name] = {
            "median_s": statistics.median(walls),
            "range_s": [walls[0], walls[-1]],
            "over_bare_s": statistics.median(over),
            "over_bare_range_s": [over[0], over[-1]],
            "ratio": statistics.median(one[name] / one["bare"] for one in measured),
        }
        print(
            f"{name:12} {statistics.median(walls):.2f} s ({walls[0]:.2f}–{walls[-1]:.2f}), "
            f"{statistics.median(over):+.2f} s ({over[0]:+.2f} to {over[-1]:+.2f}) over bare, × {found[name]['ratio']:.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
