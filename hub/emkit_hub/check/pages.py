"""The doors of a person with a browser: the owner's Lab and a guest's dashboard, looked at in a real Chromium."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Frame, Locator, Page, expect

from emkit_hub.check.doors import NOTEBOOK
from emkit_hub.check.table import CheckFailed, Table
from emkit_hub.config import DASHBOARDS_PATH, OVERVIEW_PATH
from emkit_hub.running import RunningHub

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
]
SLOW_MS = 60_000  # two cores that draw 3D without a graphics card
DRAWN = 15.0  # standard deviation of grey values: an empty viewer has less than 5, a drawn one more than 30

# Playwright's own waiting needs `eval`, which the viewer's page forbids
VIEWER_READY = """patience => new Promise((ready, failed) => {
    const look = () => window.viewer?.isReady() ? ready() : requestAnimationFrame(look);
    setTimeout(() => failed(new Error("the viewer does not become ready")), patience);
    look();
})"""


@contextmanager
def table_browser(table: Table, launch: Callable[..., Browser]) -> Iterator[Browser]:
    with table.row("Chromium") as saw:
        browser = launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
        saw(browser.version)
    try:
        yield browser
    finally:
        browser.close()


def _enter(hub: RunningHub, browser: Browser, name: str, password: str) -> Page:
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.set_default_timeout(SLOW_MS)
    page.goto(hub.url)
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    return page


def owner_with_browser(table: Table, hub: RunningHub, name: str, browser: Browser) -> None:
    """The owner's way with a browser: the overview, Lab with the notebook, all cells, Run, the volume."""
    with table.row("browser: the overview") as saw:
        page = _enter(hub, browser, name, hub.folder.owner_password)
        page.wait_for_url(f"{hub.url}{OVERVIEW_PATH}")
        opened = page.get_by_role("link", name="Open", exact=True)
        opened.wait_for()
        saw("the session that runs")
    with table.row("browser: the owner's Lab") as saw:
        opened.click()
        page.goto(f"{hub.url}/user/{name}/lab/workspaces/check/tree/{NOTEBOOK}")
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()  # before that, the menu asks for a kernel first
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.locator(".emkit-form").wait_for()
        saw("the form of the step")
    with table.row("browser: Neuroglancer in the notebook") as saw:
        page.set_viewport_size({"width": 1400, "height": 4000})  # Lab draws only the cells that are in sight
        ranges: list[str] = []
        page.on("response", lambda response: ranges.append(response.url) if response.status == 206 else None)
        page.get_by_label("Replace an output that exists").check()
        page.locator(".emkit-buttons").get_by_role("button", name="Run").click()
        saw(_drawn(page))
        saw(f"{len(ranges)} ranges")
    page.context.close()


def guest(table: Table, hub: RunningHub, browser: Browser) -> None:
    """A guest's way: the workshop's password, the gallery, the dashboard, Run, the volume."""
    with table.row("browser: the gallery") as saw:
        page = _enter(hub, browser, "ann", hub.folder.workshop_password)
        page.wait_for_url(f"{hub.url}{DASHBOARDS_PATH}")
        cards = page.locator(".card")
        cards.first.wait_for()
        saw(f"{cards.count()} dashboards")
    with table.row("browser: the dashboard") as saw:
        page.goto(f"{hub.url}{DASHBOARDS_PATH}open/{Path(NOTEBOOK).stem}")
        page.locator(".emkit-form").wait_for()
        saw(f"grey values spread by {_spread(page):.0f}")
    with table.row("browser: Neuroglancer in the dashboard") as saw:
        page.locator(".emkit-buttons").get_by_role("button", name="Run").click()
        saw(_drawn(page))
    page.context.close()


def _drawn(page: Page) -> str:
    """Wait until the page's Neuroglancer has drawn; CheckFailed when its picture stays empty."""
    viewer = page.locator("iframe[title='Neuroglancer viewer']")
    expect(viewer).to_be_visible(timeout=SLOW_MS)
    frame: Frame | None = viewer.element_handle().content_frame()
    if frame is None:
        raise CheckFailed("the viewer's frame is empty")
    frame.evaluate(VIEWER_READY, SLOW_MS)
    spread = _spread(viewer)
    if spread < DRAWN:
        raise CheckFailed(f"the viewer is blank: its grey values spread by {spread:.1f}, a drawn one by more than {DRAWN:.0f}")
    return f"grey values spread by {spread:.0f}"


def _spread(of: Page | Locator) -> float:
    return float(np.asarray(Image.open(BytesIO(of.screenshot())).convert("L")).std())
