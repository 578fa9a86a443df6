"""The scans page in a real Lab: what a person clicks and types ends up in files, and nothing typed is drawn over."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.tools import Lab, Watch
from tests.catalogue.scans import counted, raw

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CELL = "from emkit_widgets.scans import ScansPanel\npanel = ScansPanel('data')\npanel"


def test_notes_search_notebook_and_a_deletion_that_is_typed(lab: Lab, page: Page, watch: Watch) -> None:
    raw(lab.folder / "data/scan_1")
    counted(lab.folder / "data/scan_2")
    for name in ("count_a_scan", "see_a_scan"):
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", lab.folder)
    lab.open(page, lab.write("scans.ipynb", CELL))
    lab.run(page)
    first, second = (page.get_by_role("row", name=name) for name in ("scan_1", "scan_2"))
    expect(second.get_by_role("img")).to_be_visible(timeout=60_000)
    expect(first.locator(".state")).to_have_text("raw")

    notes = second.get_by_role("textbox", name="Notes of scan_2")
    notes.fill("thick")
    notes.press("Tab")
    expect(page.locator(".emkit-scans")).to_be_visible()
    page.wait_for_function("() => [...document.querySelectorAll('textarea')].some(node => node.value === 'thick')")
    first.get_by_role("textbox").fill("half a sent")  # and news comes while it is being written
    lab.execute(page, "panel.look()")
    expect(first.get_by_role("textbox")).to_have_value("half a sent")
    assert 'notes = "thick"' in (lab.folder / "data/scan_2.scan.toml").read_text()

    page.get_by_role("searchbox").fill("thick")
    expect(first).to_have_count(0)
    page.get_by_role("searchbox").fill("")
    expect(first).to_have_count(1)

    second.get_by_role("button", name="Notebook").click()
    link = page.get_by_role("link", name="scans/scan_2.ipynb")
    expect(link).to_have_attribute("href", "/lab/tree/scans/scan_2.ipynb")
    assert (lab.folder / "scans/scan_2.ipynb").is_file()

    first.get_by_role("button", name="Delete raw").click()
    question = page.get_by_role("alertdialog")
    expect(question).to_contain_text("Delete the 4 raw files of scan_1, 2.7 MB?")
    delete = question.get_by_role("button", name="Delete raw frames")
    expect(delete).to_be_disabled()
    question.get_by_role("textbox").fill("scan_1")
    delete.click()
    expect(question).to_be_hidden()
    expect(first).to_have_count(0)
    assert not (lab.folder / "data/scan_1").exists() and watch.errors == []
