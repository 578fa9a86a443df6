"""The hub is killed by force at any moment: servers, kernels and their variables stay, and the next hub takes them over."""

import asyncio
import signal
import time

import pytest
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from emkit_jobs import processes
from emkit_jobs.scheduler import State

from tests.hub.test_servers import jobs, press_start

pytestmark = pytest.mark.hub


def kill(hub: RunningHub) -> None:
    """SIGKILL to the hub and all its own processes, and wait until they are gone."""
    for pid in processes.carrying(hub.job("hub")):
        processes.send(pid, signal.SIGKILL)

    async def gone() -> None:
        async with asyncio.timeout(30):
            while (await hub.services.query_many([hub.job("hub")]))[hub.job("hub")].state is not State.FINISHED:
                await asyncio.sleep(0.01)

    asyncio.run(gone())


def ready(owner: Visitor) -> bool:
    """Waits until the hub says that the owner's server is ready, at most 30 s; False if there is no server."""
    last = time.monotonic() + 30
    while time.monotonic() < last:
        servers = owner.call("GET", "/hub/api/users/owner").json()["servers"]
        if not servers or servers[""]["ready"]:
            return bool(servers)
        time.sleep(0.1)
    raise TimeoutError(servers)


def test_a_killed_hub_costs_no_variable_and_the_next_hub_adopts_the_server(hub: RunningHub, owner: Visitor) -> None:
    assert owner.start_server()[-1]["ready"]
    (job_id,) = jobs(hub)
    with owner.kernel() as kernel:
        kernel.run("kept = 41")
        kill(hub)
        assert kernel.run("print(kept + 1)") == "42\n"  # through the proxy, while there is no hub
        asyncio.run(hub.start_hub())
        assert kernel.run("print(kept + 2)") == "43\n"  # the same connection
    assert ready(owner)
    assert list(jobs(hub)) == [job_id]
    with owner.kernel(kernel.id) as again:
        assert again.run("print(kept + 3)") == "44\n"
    owner.stop_server()
    assert jobs(hub) == {} and processes.carrying(job_id) == set()


def test_a_hub_killed_while_a_server_starts_takes_it_over(hub: RunningHub, owner: Visitor) -> None:
    press_start(owner, profile="waits")
    (job_id,) = jobs(hub)
    kill(hub)
    (hub.folder.home / "go").touch()  # the job goes on and finds no hub to report to, for a while
    asyncio.run(hub.start_hub())
    assert ready(owner)
    assert list(jobs(hub)) == [job_id]
    owner.get(owner.server + "lab")
    with owner.kernel() as kernel:
        assert kernel.run("print(1)") == "1\n"
    (hub.folder.home / "go").unlink()


def test_a_server_that_ended_while_there_was_no_hub_is_known_as_ended(hub: RunningHub, owner: Visitor) -> None:
    assert owner.start_server({"profile": "machine"})[-1]["ready"]
    (job_id,) = jobs(hub)
    kill(hub)
    asyncio.run(hub.servers.cancel(job_id))
    asyncio.run(hub.start_hub())
    assert not ready(owner)
    assert owner.start_server()[-1]["ready"]


def test_a_server_that_is_killed_is_noticed(hub: RunningHub, owner: Visitor) -> None:
    assert owner.start_server()[-1]["ready"]
    (job_id,) = jobs(hub)
    for pid in processes.carrying(job_id):
        processes.send(pid, signal.SIGKILL)
    last = time.monotonic() + 30
    while owner.call("GET", "/hub/api/users/owner").json()["servers"]:
        assert time.monotonic() < last
        time.sleep(0.1)
    assert owner.start_server()[-1]["ready"]
