"""A server from the form to its end, through the hub's public address."""

import asyncio
import html
import json
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from emkit_hub.running import RunningHub
from emkit_hub.visitor import NAVIGATION, Refused, Visitor
from emkit_jobs import processes
from emkit_jobs.scheduler import Job, State, Status

pytestmark = pytest.mark.hub


def press_start(owner: Visitor, **fields: str) -> str:
    """Fill in the form and press Start: the text of the page that answers."""
    form = owner.get("/hub/spawn")
    found = re.search(r'action="([^"]*)"', form.text)
    assert found is not None
    headers = {**NAVIGATION, "Referer": form.url}
    address = owner.url + html.unescape(found[1])
    return html.unescape(owner.session.post(address, data=fields, headers=headers, timeout=60).text)


def jobs(hub: RunningHub) -> dict[str, str]:
    return asyncio.run(hub.servers.find(""))


def test_start_by_the_form_with_progress_a_kernel_and_an_end(hub: RunningHub, owner: Visitor) -> None:
    assert "JupyterLab is starting" in press_start(owner, profile="machine", cpus="1", memory_mb="3000")
    events = list(owner.progress())
    steps = [
        "Server requested",
        "Submitted as job emkit-",
        "Job started on",
        "Server is starting at port",
        "Server is up",
        "Ready after",
    ]
    assert [step for step, event in zip(steps, events, strict=True) if step not in event["message"]] == []
    assert all(re.search(r"\(\d+\.\d s\)", event["message"]) for event in events[1:-1])
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    owner.get(owner.server + "lab")
    with owner.kernel() as kernel:
        assert kernel.run("import os, resource; print(len(os.sched_getaffinity(0)))") == "1\n"
        assert kernel.run("print(resource.getrlimit(resource.RLIMIT_DATA)[0] // 2**20)") == "3000\n"
        assert kernel.run("print(os.environ['HOME'], os.getcwd())").split() == [str(hub.folder.home)] * 2
    (job_id,) = jobs(hub)
    assert processes.carrying(job_id)
    owner.stop_server()
    assert jobs(hub) == {}
    assert processes.carrying(job_id) == set()


def test_options_are_refused_by_name_and_do_not_stay(owner: Visitor) -> None:
    refusals: list[tuple[dict[str, object], str]] = [
        ({"partition": "x; reboot"}, "Unknown option 'partition'"),
        ({"profile": "huge"}, "no profile 'huge': this hub offers machine, dies, waits"),
        ({"cpus": 65}, "at most 64"),
        ({"batch_script": "id"}, "Unknown option 'batch_script'"),
    ]
    for options, named in refusals:
        with pytest.raises(Refused, match="400") as refused:
            owner.start_server(options)
        assert named in json.loads(str(refused.value).removeprefix("400 "))["message"]
    assert "Unknown option 'colour'" in press_start(owner, colour="red")
    assert "a number was needed" in press_start(owner, cpus="many")
    assert owner.start_server()[-1]["ready"]  # without options, JupyterHub repeats the stored ones: none of these


def test_a_job_that_dies_is_told_at_once_with_the_end_of_its_log(hub: RunningHub, owner: Visitor) -> None:
    with pytest.raises(Refused, match="500") as refused:
        owner.start_server({"profile": "dies"})
    text = json.loads(str(refused.value).removeprefix("500 "))["message"]
    assert "ended with exit code 9" in text and text.endswith("no licence <b>left</b> on this node")
    page = owner.get("/hub/user/owner/lab").text
    assert "JupyterLab did not start" in page and "no licence &lt;b&gt;left&lt;/b&gt; on this node" in page
    assert jobs(hub) == {}
    assert owner.start_server()[-1]["ready"]  # and again, without the options that failed


def test_a_start_can_be_stopped(hub: RunningHub, owner: Visitor) -> None:
    press_start(owner, profile="waits")
    followed = threading.Thread(target=lambda: list(owner.progress()))
    followed.start()
    (job_id,) = jobs(hub)
    owner.stop_server()
    followed.join(30)
    assert jobs(hub) == {} and processes.carrying(job_id) == set()


def test_a_jobs_report_is_its_port_and_nothing_else(hub: RunningHub, owner: Visitor) -> None:
    assert owner.start_server()[-1]["ready"]
    with owner.kernel() as kernel:
        token, job_id = kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'], os.environ['EMKIT_JOB'])").split()

    def report(path: str, body: object, token: str = token) -> int:
        return requests.post(owner.url + path, json=body, headers={"Authorization": f"token {token}"}, timeout=60).status_code

    good = {"job": job_id, "port": 40000}
    assert report("/hub/api/batchspawner", {"port": 40000, "cmd": ["id"]}) == 404  # batchspawner's own route sets any attribute
    assert report("/hub/api/emkit/job", {**good, "cmd": ["id"]}) == 400
    assert report("/hub/api/emkit/job", {"port": 40000}) == 400
    assert report("/hub/api/emkit/job", [good]) == 400
    for port in (0, 22, 65536, "40000", 40000.0, True, None, [40000]):
        assert report("/hub/api/emkit/job", {**good, "port": port}) == 400, port
    assert report("/hub/api/emkit/job", {**good, "job": "another"}) == 403
    assert report("/hub/api/emkit/job", good, token="0" * 32) == 403
    mine = owner.call("POST", "/hub/api/users/owner/tokens", {}).json()["token"]
    assert report("/hub/api/emkit/job", good, token=mine) == 403  # the same user's, but no job's
    with owner.kernel() as kernel:
        assert kernel.run("print(1)") == "1\n"  # nothing of this moved the route


def test_jobs_that_no_server_owns_are_ended(hub: RunningHub, owner: Visitor, tmp_path: Path) -> None:
    assert owner.start_server()[-1]["ready"]
    (job_id,) = jobs(hub)
    owner.stop_server()
    asyncio.run(hub.services.cancel(hub.job("hub")))
    prefix = job_id.rpartition("-")[0]
    orphan = Job(f"{prefix}-orphan", "#!/bin/bash\nexec sleep 300\n", tmp_path, {})
    stranger = Job("emkit-00000000-other-hub", "#!/bin/bash\nexec sleep 300\n", tmp_path, {})
    for job in (orphan, stranger):
        asyncio.run(hub.servers.submit(job))
    asyncio.run(hub.start_hub())  # nobody starts a server
    states = asyncio.run(_once_ended(hub, orphan.name, stranger.name))
    assert states[orphan.name].state is State.FINISHED
    assert states[stranger.name].state is State.RUNNING
    asyncio.run(hub.servers.cancel(stranger.name))


async def _once_ended(hub: RunningHub, orphan: str, stranger: str) -> Mapping[str, Status]:
    last = time.monotonic() + 60
    while (states := await hub.servers.query_many([orphan, stranger]))[
        orphan
    ].state is not State.FINISHED and time.monotonic() < last:
        await asyncio.sleep(0.2)
    return states
