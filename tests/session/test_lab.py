"""What a user sees in JupyterLab on this machine's own hub: memory, announcements, why it is a rescue start, and how it ended."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from emkit_hub import proxy
from emkit_hub.config import OVERVIEW_PATH
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from emkit_jobs import processes
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.hub, pytest.mark.browser]

SETTINGS = """
[profiles.machine]
title = "This machine"
cpus = 1
memory_mb = 1200
runtime = "2:00:00"

[profiles.rescue]
title = "Rescue"
environment = { EMKIT_RESCUE = "your home is full" }

[lab]
notebook = ""

[dashboards]
pool = 0
"""
SERVER = {"SessionWatch": {"page_s": 0.5, "hub_s": 0.5, "measure_s": 0.5, "announcements_s": 0.5}}
HELD_MB = 1000
TOAST = ".Toastify__toast"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    path: Path = tmp_path_factory.mktemp("session-hub")
    (path / "site.toml").write_text(SETTINGS)
    folder = DataFolder(path / "data")
    folder.prepare()
    (folder.home / ".jupyter").mkdir(parents=True)
    (folder.home / ".jupyter/jupyter_server_config.json").write_text(json.dumps(SERVER))
    proxy.install()
    running = RunningHub(folder, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(path / "site.toml")})
    asyncio.run(running.__aenter__())
    yield running
    asyncio.run(running.stop())


@pytest.fixture(scope="module")
def owner(hub: RunningHub) -> Iterator[Visitor]:
    with Visitor(hub.url) as visitor:
        assert visitor.login("owner", hub.folder.owner_password)
        yield visitor


@pytest.fixture
def page(hub: RunningHub, window: Page) -> Page:
    """The owner's."""
    window.goto(hub.url)
    window.fill("#username_input", "owner")
    window.fill("#password_input", hub.folder.owner_password)
    window.click("#login_submit")
    window.wait_for_url(f"**{OVERVIEW_PATH}")
    return window


def test_memory_that_is_nearly_full_warns_until_it_is_free_again(hub: RunningHub, owner: Visitor, page: Page) -> None:
    owner.start_server({"profile": "machine"})
    page.goto(f"{hub.url}{owner.server}lab")
    status = page.locator(".emkit-session-item")
    expect(status).to_contain_text("left")
    expect(status).to_contain_text("/ 1.2 GB")
    with owner.kernel() as kernel:
        kernel.run(f"held = b'x' * ({HELD_MB} * 2**20)")
        expect(page.locator(TOAST)).to_contain_text("Memory is nearly full: 1.")
        expect(status).to_have_attribute("aria-label", re.compile(r"memory 1\.\d / 1\.2 GB"))
        kernel.run("del held")
        expect(page.locator(TOAST)).to_have_count(0)


def test_an_announcement_is_seen_in_lab_until_it_is_dismissed(hub: RunningHub, owner: Visitor, page: Page) -> None:
    page.goto(f"{hub.url}{owner.server}lab")
    token = owner.call("POST", "/hub/api/users/owner/tokens", {}).json()["token"]
    url, headers = f"{hub.url}{OVERVIEW_PATH}api/announcements", {"Authorization": f"token {token}"}
    posted = []
    for said in ("Node em2 is down <b>today</b>.", "Maintenance on Monday."):
        answer = requests.post(url, json={"text": said, "level": "warning"}, headers=headers, timeout=30)
        posted.append(answer.json()["id"])
    dismissed, withdrawn = (page.locator(TOAST).filter(has_text=text) for text in ("down <b>today</b>", "Maintenance"))
    expect(withdrawn).to_be_visible()
    expect(dismissed).to_be_visible()  # text, never markup
    page.reload()
    dismissed.get_by_role("button", name="Got it").click()
    expect(dismissed).to_have_count(0)
    page.reload()
    expect(withdrawn).to_be_visible()  # nobody has dismissed it
    expect(dismissed).to_have_count(0)
    for number in posted:
        assert requests.delete(f"{url}/{number}", headers=headers, timeout=30).status_code == 204
    expect(withdrawn).to_have_count(0)


def test_a_rescue_start_says_why_and_a_session_that_died_says_how(hub: RunningHub, owner: Visitor, page: Page) -> None:
    owner.stop_server()
    owner.start_server({"profile": "rescue"})
    page.goto(f"{hub.url}{owner.server}lab")
    expect(page.locator(TOAST)).to_contain_text("Rescue session: your home is full")
    expect(page.locator(".emkit-session-item")).to_contain_text("Rescue session")
    for job in os.listdir(hub.folder.jobs):
        for pid in processes.carrying(job):
            processes.send(pid, signal.SIGKILL)
    page.goto(f"{hub.url}/hub/home")  # there the hub looks whether the server still lives
    page.goto(f"{hub.url}/hub{owner.server}")
    # the job's first process may or may not have told the end of its server before it ended itself
    expect(page.get_by_text(re.compile(r"The last session is over: (killed|ended with exit code 137)\."))).to_be_visible()
