"""`scripts/up --check`: a hub with an empty data folder, gone through door by door as the owner and as a workshop's guest."""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from emkit_jobs.scheduler import SchedulerError
from PIL import Image
from playwright.sync_api import Browser, Error, Frame, Locator, Page, expect, sync_playwright

from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.config import DASHBOARDS_PATH, template_folders
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import HubError, RunningHub
from emkit_hub.settings import Settings
from emkit_hub.visitor import Kernel, Refused, Visitor

NOTEBOOK = "align_sections.ipynb"
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


class CheckFailed(RuntimeError):
    """A door does not open: what was seen instead."""


# how a door says that it does not open
CLOSED = (HubError, SchedulerError, proxy.ProxyError, Refused, CheckFailed, AssertionError, Error, OSError, ValueError)


@dataclass
class Table:
    """One row for each door: whether it opened, how long it took, what was seen."""

    rows: list[tuple[str, str, float, str]] = field(default_factory=list)

    @contextmanager
    def row(self, door: str) -> Iterator[Callable[[str], None]]:
        """Times what is done within; it says what it saw. What it raises is in the table too."""
        seen: list[str] = []
        began = time.monotonic()
        try:
            yield seen.append
        except CLOSED as error:
            self._add(door, "FAILED", began, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
            raise
        self._add(door, "ok", began, ", ".join(seen))

    def _add(self, door: str, state: str, began: float, seen: str) -> None:
        self.rows.append((door, state, time.monotonic() - began, seen))
        print(f"  {door:<34} {state:<7} {self.rows[-1][2]:6.1f} s  {seen}", flush=True)


def check() -> int:
    """The exit code: 0 when every door opened."""
    table = Table()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="emkit-check-") as temporary:
        folder = DataFolder(Path(temporary))
        folder.prepare()
        account = dashboards_account(template_folders(Settings(), folder))
        hub = RunningHub(folder, free_ports(1)[0], environment={"EMKIT_DASHBOARDS_ACCOUNT": account})
        print(f"Checking emkit at {hub.url}, with the empty data folder {folder.path}\n", flush=True)
        try:
            _start(table, hub)
            _owner_without_browser(table, hub)
            with sync_playwright() as playwright, table_browser(table, playwright.chromium.launch) as browser:
                _owner(table, hub, browser)
                _guest(table, hub, browser)
        except CLOSED as error:
            print(f"\n{error}", file=sys.stderr)
        finally:
            with table.row("everything is stopped") as saw:
                asyncio.run(hub.stop())
                left = asyncio.run(hub.servers.find("")) | asyncio.run(hub.services.find(""))
                saw(f"{len(left)} jobs left")
    failed = [row[0] for row in table.rows if row[1] != "ok"]
    print(f"\n{len(table.rows) - len(failed)} of {len(table.rows)} doors opened in {time.monotonic() - began:.0f} s.")
    return 1 if failed else 0


def _start(table: Table, hub: RunningHub) -> None:
    with table.row("hub, proxy and dashboards start") as saw:
        proxy.install()
        asyncio.run(hub.__aenter__())
        saw(f"dashboards as {hub.environment['EMKIT_DASHBOARDS_ACCOUNT'] or 'this account'}")


def _owner_without_browser(table: Table, hub: RunningHub) -> None:
    with Visitor(hub.url) as owner:
        with table.row("wrong passwords stay outside"):
            for name, password in (("owner", hub.folder.workshop_password), ("ann", hub.folder.owner_password), ("owner", "")):
                if owner.login(name, password):
                    raise CheckFailed(f"{name} was let in with a password that is not theirs")
        with table.row("the owner logs in"):
            if not owner.login("owner", hub.folder.owner_password):
                raise CheckFailed("the owner's password was refused")
        with table.row("spawn: JupyterLab by our spawner") as saw:
            last = owner.start_server()[-1]
            saw(str(last["message"]))
            if not last.get("ready"):
                raise CheckFailed(str(last["message"]))
        with owner.kernel() as kernel:
            with table.row("a kernel runs the notebook") as saw:
                saw(_run_notebook(owner, kernel))
            with table.row("ranged data") as saw:
                saw(_ranged(owner, kernel))


def _run_notebook(owner: Visitor, kernel: Kernel) -> str:
    """Every code cell of the copy in the owner's home, with `run = True` after its parameters; then the size of the volume."""
    found = owner.call("GET", f"{owner.server}api/contents/{NOTEBOOK}?content=1")
    if found.status_code != 200:
        raise CheckFailed(f"{NOTEBOOK} is not in the owner's home: {found.status_code} {found.text}")
    for cell in found.json()["content"]["cells"]:
        if cell["cell_type"] == "code":
            code = cell["source"] + ("\nrun = True" if "parameters" in cell["metadata"].get("tags", ()) else "")
            printed = kernel.run(code)
            if "Traceback" in printed:
                raise CheckFailed(printed.splitlines()[-1])
    return kernel.run("volume = emkit.open_volume(out); print(out, volume.shape, volume.dtype)").strip()


def _ranged(owner: Visitor, kernel: Kernel) -> str:
    """Part of a shard of the volume, as the viewer asks for it: from the address in the viewer's state, through the hub."""
    code = "from emkit_widgets.viewer import NeuroglancerView; import json; print(json.dumps(NeuroglancerView(out).state))"
    source = re.search(r"\{base\}([^|\"]*)", kernel.run(code))
    shard = kernel.run("print(next(p.relative_to(out) for p in sorted(Path(out).glob('*/c/*/*/*')) if p.is_file()))").strip()
    if source is None:
        raise CheckFailed("the viewer's state names no data")
    answer = owner.get(f"{owner.server}{source[1]}{shard}", headers={"Range": "bytes=0-15"})
    if answer.status_code != 206 or len(answer.content) != 16:
        raise CheckFailed(f"{answer.status_code} and {len(answer.content)} bytes, not 206 and 16, for a range of {shard}")
    refused = owner.get(f"{owner.server}{source[1]}..%2f..%2fetc/passwd").status_code
    if refused < 400:
        raise CheckFailed(f"{refused} for a path outside the volume")
    return f"206 for 16 bytes of {shard}, {refused} for a path outside"


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


def _owner(table: Table, hub: RunningHub, browser: Browser) -> None:
    """The owner's way with a browser: home, Lab with the notebook, all cells, Run, the volume."""
    with table.row("browser: the owner's Lab") as saw:
        page = _enter(hub, browser, "owner", hub.folder.owner_password)
        page.get_by_role("button", name="Open JupyterLab").click()
        page.goto(f"{hub.url}/user/owner/lab/workspaces/check/tree/{NOTEBOOK}")
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


def _guest(table: Table, hub: RunningHub, browser: Browser) -> None:
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
