"""A hub of its own with somebody logged in, and notebooks run in its JupyterLab: where the pictures of widgets are taken."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from emkit_hub.check.pages import CHROMIUM_FLAGS
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.async_api import Page, async_playwright

PATIENCE_MS = 180_000
SITE = '[lab]\nnotebook = ""\n[dashboards]\npool = 0\n'

Save = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Lab:
    page: Page
    hub: RunningHub

    async def open(self, name: str) -> None:
        """A notebook of the home, in a fresh workspace."""
        await self.page.goto(f"{self.hub.url}/user/owner/lab/workspaces/{Path(name).stem}/tree/{name}?reset")

    async def run(self, name: str) -> None:
        """All cells of a notebook are begun."""
        await self.open(name)
        await self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        await self.page.get_by_role("menuitem", name="Run", exact=True).click()
        await self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def write_notebook(path: Path, *cells: str, kernel: str = "python3", title: str = "Python 3 (ipykernel)") -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": kernel, "display_name": title, "language": "python"}
    nbformat.write(made, path)


@asynccontextmanager
async def open_lab(fill: Callable[[Path], None], width: int, height: int, site: str = SITE) -> AsyncIterator[Lab]:
    """Somebody's JupyterLab in a browser of that size; `fill` puts into the home what it needs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site.toml").write_text(site)
        data = DataFolder(folder / "data")
        data.prepare()
        fill(data.home)
        environment = {"EMKIT_SETTINGS": str(folder / "site.toml")}
        async with RunningHub(data, free_ports(1)[0], environment=environment) as hub, async_playwright() as playwright:
            with Visitor(hub.url) as visitor:
                visitor.login("owner", data.owner_password)
                visitor.start_server()
            browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
            page = await browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(hub.url)
            await page.fill("#username_input", "owner")
            await page.fill("#password_input", data.owner_password)
            await page.click("#login_submit")
            yield Lab(page, hub)
            await browser.close()
