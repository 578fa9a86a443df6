"""A browser for one module: Playwright's synchronous API keeps an event loop in this thread for as long as it lives."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser) -> Iterator[Page]:
    """Of somebody who has not logged in."""
    context = chromium.new_context(viewport={"width": 1300, "height": 800})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()
