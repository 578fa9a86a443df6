"""The picture of a live scan for the docs, for screenshots.py: the curated notebook on a hub of its own."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from emkit_hub.check.pages import CHROMIUM_FLAGS
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.async_api import async_playwright

PATIENCE_MS = 180_000
NOTEBOOK = Path(__file__).parents[1] / "notebooks/stream_a_scan.ipynb"
SITE = '[lab]\nnotebook = ""\n[dashboards]\npool = 0\n'


async def take_stream(save: Callable[[str, bytes], None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site.toml").write_text(SITE)
        data = DataFolder(folder / "data")
        data.prepare()
        shutil.copy(NOTEBOOK, data.home)
        environment = {"EMKIT_SETTINGS": str(folder / "site.toml")}
        async with RunningHub(data, free_ports(1)[0], environment=environment) as hub, async_playwright() as playwright:
            with Visitor(hub.url) as visitor:
                visitor.login("owner", data.owner_password)
                visitor.start_server()
            browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
            page = await browser.new_page(viewport={"width": 1250, "height": 1400})
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(hub.url)
            await page.fill("#username_input", "owner")
            await page.fill("#password_input", data.owner_password)
            await page.click("#login_submit")
            await page.goto(f"{hub.url}/user/owner/lab/workspaces/live/tree/{NOTEBOOK.name}?reset")
            await page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
            await page.get_by_role("menuitem", name="Run", exact=True).click()
            await page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            live = page.locator(".emkit-live")
            await live.get_by_role("button", name="Start").click()
            for _ in range(2):  # the second one is seen half there, over the report of the first
                await live.get_by_role("button", name="Send a phantom").click()
                await live.get_by_text("% after").wait_for()
                await page.wait_for_function("document.querySelector('.emkit-live [role=progressbar]').ariaValueNow > 1300")
                save("stream-live", await live.screenshot(animations="disabled"))
                await live.get_by_text("frames/s on the whole").wait_for()
            await live.get_by_role("button", name="Stop").click()
            await live.get_by_text("it was asked to end").wait_for()
            await browser.close()
