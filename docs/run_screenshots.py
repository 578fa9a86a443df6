"""Pictures of runs for the docs, for screenshots.py: a plan, a run that is kept, the same in a notebook opened again, the panel of
my runs with tasks that failed, and the overview's list on a phone. On a hub of its own.
"""

from pathlib import Path

import numpy as np
from emkit_hub.config import OVERVIEW_PATH
from lab import Lab, Save, open_lab, write_notebook
from playwright.async_api import Locator
from tifffile import imread, imwrite

import emkit

FORM = """import emkit
from emkit_widgets.form import StepForm

StepForm(emkit.align_sections, source="stack", out="{out}", voxel_size_nm=(45, 4.6, 4.6))"""
PANEL = "from emkit_widgets.runs import RunsPanel\n\nRunsPanel()"
SECTIONS, BROKEN = 40, 11


async def take_runs(save: Save) -> None:
    def fill(home: Path) -> None:
        emkit.make_phantom(out=home / "stack", sections=SECTIONS, size_px=512, bad=(7,))
        write_notebook(home / "align.ipynb", FORM.format(out="aligned.ome.zarr"), PANEL)
        write_notebook(home / "again.ipynb", FORM.format(out="other.ome.zarr"), PANEL)

    async with open_lab(fill, 1250, 1400) as lab:
        await _kept(lab, save)
        await _failed(lab, save)


async def _form(lab: Lab, name: str) -> Locator:
    """The form of a notebook whose cells are run."""
    await lab.run(name)
    form = lab.page.locator(".emkit-form")
    await form.wait_for()
    return form


async def _keep(form: Locator) -> None:
    await form.get_by_role("checkbox", name="Keep running").check()
    await form.get_by_role("button", name="Run").click()


async def _kept(lab: Lab, save: Save) -> None:
    page, form = lab.page, await _form(lab, "align.ipynb")
    await form.get_by_role("button", name="Plan").click()
    await form.get_by_text("at its peak").wait_for()
    save("run-plan", await form.screenshot(animations="disabled"))
    await _keep(form)
    await form.get_by_text("pairs/s").wait_for()
    save("run-running", await form.screenshot(animations="disabled"))
    await page.get_by_role("menuitem", name="Kernel", exact=True).click()
    await page.get_by_role("menuitem", name="Shut Down Kernel", exact=True).click()
    await page.goto(f"{lab.hub.url}{OVERVIEW_PATH}")
    await page.set_viewport_size({"width": 390, "height": 844})
    mine = page.get_by_role("region", name="My runs")
    await mine.get_by_text("match: ").wait_for()
    save("runs-phone", await mine.screenshot(animations="disabled"))
    await page.set_viewport_size({"width": 1250, "height": 1400})
    form = await _form(lab, "align.ipynb")
    await form.get_by_text("was begun before").wait_for()
    await page.locator(".emkit-runs .stages").wait_for()
    await page.locator(".emkit-runs").scroll_into_view_if_needed()
    save("run-reattached", await page.screenshot(animations="disabled"))
    await form.get_by_text("Done in").wait_for()


async def _failed(lab: Lab, save: Save) -> None:
    """The pixels of a section cannot be decoded, which its header does not tell."""
    broken = sorted((lab.hub.folder.home / "stack").glob("*.tif"))[BROKEN]
    imwrite(broken, imread(broken), compression="zlib")
    content = bytearray(broken.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    broken.write_bytes(content)
    form = await _form(lab, "again.ipynb")
    await _keep(form)
    await form.get_by_text("pairs failed").wait_for()
    save("run-failed", await form.screenshot(animations="disabled"))
    panel = lab.page.locator(".emkit-runs")
    await panel.get_by_role("row", name="failed align_sections").wait_for()
    save("runs-panel", await panel.screenshot(animations="disabled"))
