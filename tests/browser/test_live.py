"""The live view as a person uses it in JupyterLab: Start, send a phantom twice, see it fill, Stop."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from emkit.stream.session import LIVING, Session
from tests.browser.tools import Lab, Watch, pixels, until

CURATED = Path(__file__).parents[2] / "notebooks"
PATIENCE_MS = 120_000
BAR = "document.querySelector('.emkit-live [role=progressbar]')"


def keep(page: Page, name: str) -> None:
    """A picture of the widget, where somebody wants to look at it."""
    if folder := os.environ.get("EMKIT_LOOK"):
        page.locator(".emkit-live").screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    """Of the notebook's folder; ended at the end, whatever happened."""
    found = Session(lab.folder / "streamed")
    yield found
    if found.said().state in LIVING:
        found.ask_to_stop()


def test_a_scan_fills_in_a_notebook(lab: Lab, session: Session, page: Page, watch: Watch) -> None:
    small = (CURATED / "stream_a_scan.ipynb").read_text().replace("phantom = (48, 48)", "phantom = (32, 32)")
    (lab.folder / "stream_a_scan.ipynb").write_text(small)
    page.set_viewport_size({"width": 1200, "height": 1500})
    lab.open(page, "stream_a_scan.ipynb")
    lab.run(page)
    live = page.locator(".emkit-live")
    expect(live.get_by_text("no session yet")).to_be_visible()
    keep(page, "live-before")
    live.get_by_role("button", name="Start").click()
    expect(live.get_by_text("ready after")).to_be_visible(timeout=PATIENCE_MS)
    phantom = live.get_by_role("button", name="Send a phantom")
    for k in range(2):
        phantom.click(timeout=PATIENCE_MS)
        filled = live.get_by_role("progressbar")
        until(page, f"(bar => bar?.ariaValueNow > {200 * (k < 1)} && bar.ariaValueNow < 1000)({BAR})")
        keep(page, f"live-fills-{k}")
        expect(filled).to_have_attribute("aria-valuenow", "1024", timeout=PATIENCE_MS)
        expect(live.get_by_text("frames/s on the whole")).to_be_visible(timeout=PATIENCE_MS)
        expect(live.get_by_text("of 1024 frames are whole")).to_be_visible(timeout=PATIENCE_MS)
        expect(live.locator("pre").get_by_text("lacks sector")).to_be_visible()
        assert pixels(live.locator("canvas")).std() > 30
    assert live.get_by_label("Which scan").locator("option").count() == 3
    live.get_by_label("Which electrons").select_option("everywhere")
    keep(page, "live-after")
    live.get_by_role("button", name="Stop").click()
    expect(live.get_by_text("it was asked to end")).to_be_visible(timeout=PATIENCE_MS)
    keep(page, "live-stopped")
    assert session.said().state == "ended" and len(list(session.out.glob("*/counted"))) == 2
    assert watch.errors == []
    lab.shut(page)
