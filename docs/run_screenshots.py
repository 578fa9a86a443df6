"""Pictures of runs for the docs, for screenshots.py: a plan, a run that is kept, the same in a notebook opened again, the panel of
my runs with tasks that failed, and the overview's list on a phone. On a hub of its own.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
from emkit_hub.check.pages import CHROMIUM_FLAGS
from emkit_hub.config import OVERVIEW_PATH
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.async_api import Locator, Page, async_playwright
from tifffile import imread, imwrite

import emkit

PATIENCE_MS = 120_000
SITE = '[lab]\nnotebook = ""\n[dashboards]\npool = 0\n'
FORM = """import emkit
from emkit_widgets.form import StepForm

StepForm(emkit.align_sections, source="stack", out="{out}", voxel_size_nm=(45, 4.6, 4.6))"""
PANEL = "from emkit_widgets.runs import RunsPanel\n\nRunsPanel()"
SECTIONS, BROKEN = 40, 11

Save = Callable[[str, bytes], None]


async def take_runs(save: Save) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site.toml").write_text(SITE)
        data = DataFolder(folder / "data")
        data.prepare()
        emkit.make_phantom(out=data.home / "stack", sections=SECTIONS, size_px=512, bad=(7,))
        _write(data.home / "align.ipynb", FORM.format(out="aligned.ome.zarr"), PANEL)
        _write(data.home / "again.ipynb", FORM.format(out="other.ome.zarr"), PANEL)
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
            await _kept(page, hub, save)
            await _failed(page, hub, data.home / "stack", save)
            await browser.close()


def _write(path: Path, *cells: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(made, path)


async def _open(page: Page, hub: RunningHub, name: str) -> Locator:
    """Run all cells of a notebook in a fresh workspace; its form."""
    await page.goto(f"{hub.url}/user/owner/lab/workspaces/{Path(name).stem}/tree/{name}?reset")
    await page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    await page.get_by_role("menuitem", name="Run", exact=True).click()
    await page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    form = page.locator(".emkit-form")
    await form.wait_for()
    return form


async def _keep(form: Locator) -> None:
    await form.get_by_role("checkbox", name="Keep running").check()
    await form.get_by_role("button", name="Run").click()


async def _kept(page: Page, hub: RunningHub, save: Save) -> None:
    form = await _open(page, hub, "align.ipynb")
    await form.get_by_role("button", name="Plan").click()
    await form.get_by_text("at its peak").wait_for()
    save("run-plan", await form.screenshot(animations="disabled"))
    await _keep(form)
    await form.get_by_text("pairs/s").wait_for()
    save("run-running", await form.screenshot(animations="disabled"))
    await page.get_by_role("menuitem", name="Kernel", exact=True).click()
    await page.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
    await page.goto(f"{hub.url}{OVERVIEW_PATH}")
    await page.set_viewport_size({"width": 390, "height": 844})
    mine = page.get_by_role("region", name="My runs")
    await mine.get_by_text("match: ").wait_for()
    save("runs-phone", await mine.screenshot(animations="disabled"))
    await page.set_viewport_size({"width": 1250, "height": 1400})
    form = await _open(page, hub, "align.ipynb")
    await form.get_by_text("was begun before").wait_for()
    await page.locator(".emkit-runs .stages").wait_for()
    await page.locator(".emkit-runs").scroll_into_view_if_needed()
    save("run-reattached", await page.screenshot(animations="disabled"))
    await form.get_by_text("Done in").wait_for()


async def _failed(page: Page, hub: RunningHub, stack: Path, save: Save) -> None:
    """The pixels of a section cannot be decoded, which its header does not tell."""
    broken = sorted(stack.glob("*.tif"))[BROKEN]
    imwrite(broken, imread(broken), compression="zlib")
    content = bytearray(broken.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    broken.write_bytes(content)
    form = await _open(page, hub, "again.ipynb")
    await _keep(form)
    await form.get_by_text("pairs failed").wait_for()
    save("run-failed", await form.screenshot(animations="disabled"))
    panel = page.locator(".emkit-runs")
    await panel.get_by_role("row", name="failed align_sections").wait_for()
    save("runs-panel", await panel.screenshot(animations="disabled"))
