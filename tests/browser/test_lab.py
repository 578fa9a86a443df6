"""The fixtures themselves: a notebook runs in a real JupyterLab."""

from playwright.sync_api import Page

from tests.browser.tools import Lab


def test_a_notebook_runs(lab: Lab, page: Page) -> None:
    lab.open(page, lab.write("sum.ipynb", "1 + 1", "print('two cells')"))
    assert lab.run(page) == ["2", "two cells\n"]
    assert lab.execute(page, "print(6 * 7)") == "42\n"
