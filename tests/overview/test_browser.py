"""The page in a real browser: wide and on a phone, dark, by keyboard, renewing itself, and while the hub is away."""

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from emkit_hub.config import HOST
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.overview.conftest import LogIn

pytestmark = [pytest.mark.hub, pytest.mark.browser]

OVERVIEW = "/services/overview/"
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


Enter = Callable[..., Page]


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def enter(hub: RunningHub, chromium: Browser, log_in: LogIn, errors: list[str]) -> Iterator[Enter]:
    """`enter("ann", width=390)` is the first page of Ann's login in a window of its own; `errors` are those of all windows."""
    with ExitStack() as leaving:

        def enter(name: str, *, width: int = 1280, dark: bool = False) -> Page:
            context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
            leaving.callback(context.close)
            for one in log_in(name).session.cookies:
                context.add_cookies([{"name": one.name, "value": one.value or "", "domain": HOST, "path": one.path}])
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.goto(hub.url)
            page.wait_for_url(f"**{OVERVIEW}")
            return page

        yield enter


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)])
def test_it_fits_and_has_names_for_everything(enter: Enter, errors: list[str], width: int, dark: bool) -> None:
    page = enter("boss", width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("main").count() == 1 and page.get_by_role("navigation").count() == 1
    for name in ("My sessions", "My jobs", "My runs", "My efficiency", "System", "File systems", "Everybody", "Announce"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
    unnamed = page.evaluate("""() => {
        const named = (one) => one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label");
        const controls = "input:not([type=hidden]), select, textarea, button, a, [role=meter]";
        return [...document.querySelectorAll(controls)].filter((one) => !named(one)).map((one) => one.outerHTML);
    }""")
    assert unnamed == []
    assert page.evaluate("document.documentElement.dataset.bsTheme") == ("dark" if dark else "light")
    seen = page.evaluate("""() => { const style = getComputedStyle(document.querySelector(".emkit-card"));
        return [style.backgroundColor, getComputedStyle(document.querySelector("h2")).color]; }""")
    paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in seen)
    assert (paper < ink) is dark
    assert errors == []


def test_it_renews_itself_and_the_keyboard_stays_where_it_was(enter: Enter, boss: Visitor, errors: list[str]) -> None:
    page = enter("ann")
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    start = page.locator("#start-")
    start.focus()
    posted = boss.call("POST", f"{OVERVIEW}api/announcements", {"text": "<b>Soon</b>", "level": "warning"}).json()
    expect(page.get_by_text("<b>Soon</b>")).to_be_visible(timeout=PATIENCE_MS)
    expect(start).to_be_focused()
    page.fill("#named-server", "half a na")
    boss.call("DELETE", f"{OVERVIEW}api/announcements/{posted['id']}")
    expect(page.get_by_text("<b>Soon</b>")).to_be_hidden(timeout=PATIENCE_MS)
    expect(page.locator("#named-server")).to_have_value("half a na")
    assert errors == []


def test_an_admin_announces_and_withdraws(enter: Enter, errors: list[str]) -> None:
    page = enter("boss", width=390)
    form = page.get_by_role("region", name="Announce", exact=True)
    form.get_by_label("Text").fill("Power cut at noon")
    form.get_by_label("Level").select_option("Outage")
    form.get_by_label("Shown").select_option("for a day")
    form.get_by_role("button", name="Announce").click()
    shown = page.get_by_role("region", name="Announcements")
    expect(shown).to_contain_text("Outage Power cut at noon")
    expect(shown).to_contain_text("for 23")
    shown.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Power cut at noon")).to_be_hidden(timeout=PATIENCE_MS)
    assert errors == []


def test_a_hub_that_is_away_is_said_and_the_page_comes_back(hub: RunningHub, enter: Enter) -> None:
    page = enter("ann")
    expect(page.locator("#age-s")).to_be_visible()
    with ThreadPoolExecutor(1) as beside:  # Playwright has a loop of its own in this thread
        beside.submit(asyncio.run, hub.services.cancel(hub.job("hub"))).result()
        expect(page.locator("#unreachable")).to_contain_text("The hub does not answer since", timeout=PATIENCE_MS)
        expect(page.get_by_role("region", name="My sessions")).to_be_visible()  # what was known stays
        beside.submit(asyncio.run, hub.start_hub()).result()
    expect(page.locator("#unreachable")).to_be_hidden(timeout=PATIENCE_MS)
    expect(page.get_by_role("region", name="My sessions")).to_be_visible()
