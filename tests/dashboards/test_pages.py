"""What a guest sees, in a real browser: the gallery, a dashboard whose widgets answer, the queue, the end of a place."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from emkit_hub import proxy
from emkit_hub.dashboards.settings import DashboardSettings
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.tools import CHROMIUM_FLAGS
from tests.catalogue.scans import counted, raw
from tests.dashboards.site import PASSWORD, Site, write_notebook

pytestmark = [pytest.mark.hub, pytest.mark.browser, pytest.mark.asyncio]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAINT = '''
    import anywidget, ipywidgets, traitlets

    class Paint(anywidget.AnyWidget):
        _esm = """export default { render({ model, el }) {
            const canvas = document.createElement("canvas"); canvas.width = canvas.height = 100; el.append(canvas);
            const brush = canvas.getContext("2d");
            const draw = () => { brush.fillStyle = model.get("colour"); brush.fillRect(0, 0, 100, 100); };
            draw(); model.on("change:colour", draw);
        } }"""
        colour = traitlets.Unicode("rgb(200, 0, 0)").tag(sync=True)

    paint, button = Paint(), ipywidgets.Button(description="Green")
    button.on_click(lambda _: setattr(paint, "colour", "rgb(0, 150, 0)"))
    ipywidgets.VBox([button, paint])
'''
COLOUR = "() => [...document.querySelector('canvas').getContext('2d').getImageData(50, 50, 1, 1).data].join()"


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, or Playwright's own where there is none."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


async def guest(browser: Browser, site: Site, name: str) -> Page:
    """A new guest in a window of their own, in the gallery."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await page.goto(site.base)
    await page.fill("input[name=username]", name)
    await page.fill("input[name=password]", PASSWORD)
    await page.click("[type=submit]")
    await page.wait_for_url(site.base)
    return page


async def test_gallery_dashboard_queue_and_end(browser: Browser, tmp_path: Path) -> None:
    proxy.install()
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder / "paint.ipynb", [PAINT], title="Paint")
    with Site(tmp_path, DashboardSettings(folders=(folder,), pool=1, cap=1)) as site:
        await site.ready()
        page = await guest(browser, site, "ann")
        failures: list[str] = []
        page.on("response", lambda response: failures.append(response.url) if response.status >= 400 else None)
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.click("text=Paint")
        await page.wait_for_function(f"document.querySelector('canvas') && ({COLOUR})() === '200,0,0,255'", timeout=60_000)
        await page.click("text=Green")
        await page.wait_for_function(f"({COLOUR})() === '0,150,0,255'")
        bar, canvas = await page.locator("#emkit-bar").bounding_box(), await page.locator("canvas").bounding_box()
        assert bar and canvas and canvas["y"] > bar["y"] + bar["height"], "nothing is hidden under the bar"
        assert failures == []

        late = await guest(browser, site, "late")
        await late.click("text=Paint")
        await late.get_by_role("heading", name="All 1 places are taken").wait_for()
        await page.click("text=Dashboards")  # ann goes back to the gallery, which closes her dashboard
        await late.wait_for_selector("canvas", timeout=60_000)  # and the page of the queue has gone in by itself

        kernel = (await late.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent)"))["kernelId"]
        gave_back = await late.evaluate(f"fetch('{site.base}place/{kernel}', {{method: 'POST'}}).then(answer => answer.status)")
        assert gave_back == 204
        await late.get_by_text("This dashboard has ended: its page was closed").wait_for(timeout=30_000)
        await late.click("text=Open it again")
        await late.wait_for_selector("canvas", timeout=60_000)


async def test_the_curated_notebook_as_a_dashboard(browser: Browser, tmp_path: Path) -> None:
    proxy.install()
    settings = DashboardSettings(folders=(NOTEBOOKS,), pool=1, cap=2, extensions=("emkit.server",))
    with Site(tmp_path, settings) as site:
        await site.ready(warm=1)
        page = await guest(browser, site, "ann")
        seen: list[int] = []
        page.on("response", lambda response: seen.append(response.status) if "/emkit/data/" in response.url else None)
        await page.click("a[href$='/open/align_sections']")
        await page.get_by_role("button", name="Run").first.click()
        viewer = page.locator("iframe[title='Neuroglancer viewer']")
        await viewer.wait_for(timeout=120_000)
        frame = await (await viewer.element_handle()).content_frame()
        assert frame is not None
        await frame.wait_for_url("**/emkit/v/**")
        async with asyncio.timeout(60):
            while not await frame.evaluate("Boolean(window.viewer?.isReady())"):
                await frame.evaluate("new Promise(requestAnimationFrame)")
        assert seen.count(206) > 3 and set(seen) <= {200, 206}
        await viewer.scroll_into_view_if_needed()
        shown = np.asarray(Image.open(BytesIO(await viewer.screenshot())).convert("L"))
        assert shown.std() > 40, "the volume is drawn, not a blank viewer"


async def test_a_scan_is_counted_by_a_guest(browser: Browser, tmp_path: Path) -> None:
    """Lines are dragged and the electrons on the frame follow; run; the images follow the detectors. Within a guest's limits."""
    proxy.install()
    (folder := tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / "count_a_scan.ipynb", folder)
    with Site(tmp_path, DashboardSettings(folders=(folder,), pool=1, cap=1)) as site:
        await site.ready(warm=1)
        page = await guest(browser, site, "ann")
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.click("a[href$='/open/count_a_scan']")
        frame, told = page.locator(".emkit-frames canvas[data-marked]"), page.locator(".emkit-frames .told")
        await expect(told).to_contain_text("electrons in this frame", timeout=60_000)
        estimated = int(await frame.get_attribute("data-marked") or 0)
        assert estimated > 500

        await page.get_by_text("More settings").first.click()
        line = page.get_by_role("slider", name="background, ADU")
        await line.scroll_into_view_if_needed()
        at = await line.locator(".grip").bounding_box()
        assert at
        await page.mouse.move(at["x"] + 5, at["y"] + 7)
        await page.mouse.down()
        for step in range(1, 30):
            await page.mouse.move(at["x"] + 5 + 4 * step, at["y"] + 7)
        dragged = float(await line.get_attribute("aria-valuenow") or 0)
        background = page.get_by_role("textbox", name="Background", exact=True)
        await expect(background).to_have_value(str(dragged))  # before the button is let go
        await page.mouse.up()
        await expect(frame).not_to_have_attribute("data-marked", str(estimated))
        await page.keyboard.press("ArrowRight")
        await expect(background).to_have_value(str(round(dragged + 1, 2)))
        await page.get_by_role("button", name="Estimate again").click()
        await expect(background).to_have_value("")
        await expect(frame).to_have_attribute("data-marked", str(estimated))
        await page.locator(".emkit-frames input").press("ArrowRight")
        await expect(page.locator(".emkit-frames output")).not_to_have_text("frame 0 (sy=0, sx=0)")

        await page.locator(".emkit-form").first.get_by_role("button", name="Run").click()
        await expect(page.get_by_text("256 of 256 frames are whole").first).to_be_visible(timeout=60_000)
        image = page.locator(".emkit-images img")
        await expect(image).to_have_count(4)
        before = [await one.get_attribute("src") for one in await image.all()]
        await page.get_by_role("slider", name="dark-field inner radius, px").press("ArrowLeft")
        await expect(image.nth(2)).not_to_have_attribute("src", before[2] or "")
        after = [await one.get_attribute("src") for one in await image.all()]
        assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]
        knob = await page.locator(".emkit-detector [data-name=disk_px] .knob").bounding_box()
        assert knob
        await page.mouse.move(knob["x"] + 5, knob["y"] + 5)
        await page.mouse.down()
        await page.mouse.move(knob["x"] - 15, knob["y"] + 25, steps=5)
        await expect(image.nth(1)).not_to_have_attribute("src", before[1] or "")  # the phase waits
        await page.mouse.up()
        await expect(image.nth(3)).not_to_have_attribute("src", before[3] or "")
        assert failures == []


async def test_a_guest_looks_at_the_scans_of_the_site_and_changes_nothing(browser: Browser, tmp_path: Path) -> None:
    proxy.install()
    (folder := tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / "scans.ipynb", folder)
    raw((data := tmp_path / "data") / "scan_1")
    counted(data / "scan_2")
    settings = DashboardSettings(folders=(folder,), pool=1, cap=1, data_roots=(data,), environment={"EMKIT_SCANS": str(data)})
    with Site(tmp_path, settings) as site:
        await site.ready(warm=1)
        page = await guest(browser, site, "ann")
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.click("a[href$='/open/scans']")
        row, panel = page.get_by_role("row", name="scan_2"), page.locator(".emkit-scans")
        await expect(row.get_by_role("img")).to_be_visible(timeout=60_000)
        await expect(row.locator(".state")).to_have_text("done")
        await expect(panel.locator("button, textarea, input[type=checkbox]")).to_have_count(0)
        await panel.get_by_role("searchbox").fill("raw")
        await expect(row).to_have_count(0)
        assert failures == [] and sorted(path.name for path in data.iterdir()) == ["scan_1", "scan_2"]
