"""Montage, align, judge, by keyboard: the notebook on a phantom with planted defects, remedies asked for, the step run again."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.tools import Lab, Watch, pixels

CURATED = Path(__file__).parents[2] / "notebooks"
SMALL = """
import emkit
emkit.make_phantom(out="raw", sections=7, size_px=256, jitter=0.3, seed=5, defects=("2:tear", "5:displaced"))
from emkit_widgets.form import StepForm
from emkit_widgets.quality import QualityView
form = StepForm(emkit.align_sections, source="raw", out="a.ome.zarr", voxel_size_nm=(45, 4.6, 4.6))
form.run_now()
"""


def test_sections_are_judged_and_mended_by_keyboard(lab: Lab, page: Page, watch: Watch, tmp_path: Path) -> None:
    name = lab.write("judge.ipynb", SMALL, 'form.then(lambda ran: QualityView(ran["out"], form))')
    page.set_viewport_size({"width": 1400, "height": 2400})
    lab.open(page, name)
    lab.run(page)
    quality = page.locator(".emkit-quality")
    table = quality.get_by_role("table", name="Verdict on each section")
    expect(table.get_by_role("row", name="section_05.tif displaced region")).to_have_attribute("aria-selected", "true")
    expect(quality.get_by_text("What helps: search further, place points, turn it over, skip it.")).to_be_visible()
    assert table.locator("td.marked").count() > 0

    table.get_by_role("row", name="section_00.tif good").click()
    page.keyboard.press("n")  # the next bad one
    expect(quality.get_by_text("Section 2 (section_02.tif): tear.")).to_be_visible()
    page.keyboard.press("n")
    expect(quality.get_by_text("Section 5 (section_05.tif): displaced region.")).to_be_visible()
    page.keyboard.press("s")
    expect(quality.get_by_role("button", name="5:skip")).to_be_visible()

    page.keyboard.press("p")  # the bad one before: points for the torn section, without the mouse
    expect(quality.get_by_text("Section 2 (section_02.tif): tear.")).to_be_visible()
    page.keyboard.press("o")
    first = quality.get_by_label("first section")
    first.focus()
    use = quality.get_by_role("button", name="Use these points")
    expect(use).to_be_disabled()
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        for _ in ("first", "second"):  # Enter moves on to the other section
            for _ in range(4):
                page.keyboard.press(f"Shift+{key}")
            page.keyboard.press("Enter")
    expect(quality.get_by_text("3 pairs fit exactly: a fourth tells how well")).to_be_visible()
    assert pixels(quality.get_by_label("both section")).std() > 20
    page.screenshot(path=tmp_path / "points.png")
    use.click()
    expect(quality.get_by_role("button", name="1-2:points=3 pairs")).to_be_visible()

    with page.expect_download() as listed:
        quality.get_by_role("link", name="Sections to image again (CSV)").click()
    assert "section_05.tif,displaced region" in listed.value.path().read_text()
    quality.get_by_role("button", name="Make the report").click()
    with page.expect_download() as report:
        quality.get_by_role("link", name="report.html").click()
    assert "Section 5 · section_05.tif: displaced region" in report.value.path().read_text()

    table.get_by_role("row", name="section_02.tif").click()
    page.keyboard.press("r")
    expect(page.get_by_text("left out: 5")).to_be_visible(timeout=180_000)
    assert watch.errors == []
    lab.shut(page)
