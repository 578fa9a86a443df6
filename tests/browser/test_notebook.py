"""The curated notebook as a person uses it in JupyterLab: Run, judge, leave a section out, run again, see the volume."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.tools import Lab, Watch, drawn_viewer, pixels

CURATED = Path(__file__).parents[2] / "notebooks"


def test_align_sections_from_form_to_pixels(lab: Lab, page: Page, watch: Watch) -> None:
    shutil.copy(CURATED / "align_sections.ipynb", lab.folder)
    page.set_viewport_size({"width": 1400, "height": 4600})  # Lab draws the cells that are in sight
    lab.open(page, "align_sections.ipynb")
    lab.run(page)
    form, quality = page.locator(".emkit-form"), page.locator(".emkit-quality")
    expect(page.get_by_text("Shown when the step has run.")).to_have_count(2)
    assert not (lab.folder / "aligned.ome.zarr").exists()

    form.get_by_role("button", name="Plan").click()
    expect(form.get_by_text("at its peak")).to_be_visible()
    form.get_by_role("button", name="Run").click()
    expect(form.get_by_text("Done in")).to_be_visible(timeout=180_000)

    expect(quality.locator("svg .flagged")).not_to_have_count(0)
    expect(quality.get_by_text("section 7 (section_07.tif) matches none of its neighbours")).to_be_visible()
    quality.get_by_role("row", name="section_00.tif → section_01.tif").click()
    expect(quality.locator("svg .selected title")).to_contain_text("section_00.tif → section_01.tif")
    expect(quality.get_by_text("Section 1 (section_01.tif)")).to_be_visible()
    signal = pixels(quality.locator(".emkit-signal img"))
    assert signal.max() > 250 and signal.mean() < 60  # one bright point
    assert pixels(quality.locator("canvas")).std() > 20

    drawn_viewer(page)
    assert pixels(page.locator("iframe")).std() > 40
    assert watch.count(206, "emkit/data/") > 0 and watch.count(200, "emkit/sections/") > 0

    quality.get_by_role("row", name="section_06.tif → section_07.tif").click()
    expect(quality.get_by_text("displaced region. Another place was imaged.")).to_be_visible()
    quality.get_by_role("button", name="Skip").click()
    quality.get_by_role("button", name="Run again with 1 remedy").click()
    expect(page.get_by_text("left out: 7")).to_be_visible(timeout=180_000)
    expect(page.locator(".emkit-quality svg .flagged")).to_have_count(0)
    assert watch.errors == []
    lab.shut(page)
