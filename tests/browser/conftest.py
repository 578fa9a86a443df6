"""A real Chromium and a real JupyterLab, for every test that must see pixels.

They live as long as one test module: Playwright's synchronous API keeps an event loop running in this thread, so a longer life
would break `asyncio.run` in the tests that follow.
"""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS, Lab, Watch
from tests.servers import TOKEN, jupyter


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own where there is none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def page(chromium: Browser, watch: Watch) -> Iterator[Page]:
    """A fresh visitor (no cookies) in a window of 1400 × 1000; `watch` sees its traffic."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    watch.follow(page)
    yield page
    context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home, folder = tmp_path_factory.mktemp("lab-home"), tmp_path_factory.mktemp("lab")
    with jupyter("jupyterlab", "--expose-app-in-browser", f"--ServerApp.root_dir={folder}", home=home) as server:
        yield Lab(server.url, folder, TOKEN)
