"""What a user sees in JupyterLab on this machine's own hub: memory, announcements, a rescue start, and a hub that is away."""

import asyncio
import json
import re
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from emkit_hub import proxy
from emkit_hub.config import OVERVIEW_PATH
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS

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
expect.set_options(timeout=30_000)


def beside_playwright(coroutine: Coroutine[None, None, None]) -> None:
    """Playwright's synchronous API has a loop running in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


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


@pytest.fixture(scope="module")
def chromium(hub: RunningHub) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, hub: RunningHub) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1300, "height": 800})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(hub.url)
    page.fill("#username_input", "owner")
    page.fill("#password_input", hub.folder.owner_password)
    page.click("#login_submit")
    page.wait_for_url(f"**{OVERVIEW_PATH}")
    yield page
    context.close()


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


def test_a_hub_that_is_away_is_told_and_nothing_is_stopped(hub: RunningHub, owner: Visitor, page: Page) -> None:
    page.goto(f"{hub.url}{owner.server}lab")
    status = page.locator(".emkit-session-item")
    expect(status).to_contain_text("left")
    beside_playwright(hub.services.cancel(hub.job("hub")))
    status.click()
    dialog = page.locator("dialog.jp-Dialog")
    dialog.get_by_role("button", name="Save all and resubmit").click()
    expect(page.locator(TOAST)).to_contain_text("The session was not resubmitted. The hub does not answer")
    expect(status).to_contain_text("left")
    beside_playwright(hub.start_hub())


def test_a_rescue_start_says_why(hub: RunningHub, owner: Visitor, page: Page) -> None:
    owner.stop_server()
    owner.start_server({"profile": "rescue"})
    page.goto(f"{hub.url}{owner.server}lab")
    expect(page.locator(TOAST)).to_contain_text("Rescue session: your home is full")
    expect(page.locator(".emkit-session-item")).to_contain_text("Rescue session")
    owner.stop_server()
