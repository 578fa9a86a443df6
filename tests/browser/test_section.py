"""The section viewer in a real notebook: what is drawn is what was planted."""

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.tools import Lab, Watch, pixels

# Section z is 10 z, but for a bright square that moves right by 64 pixels a section.
SECTIONS = """
import numpy as np
from emkit_widgets.section import SectionView
sections = np.zeros((8, 512, 512), np.uint8)
for z in range(8):
    sections[z] = 10 * z
    sections[z, 128:192, 32 + 64 * z: 96 + 64 * z] = 250
"""
SHOWN = "view = SectionView(sections, pixel_nm=4.6, window=(0, 255), names=[f'{z:02}.tif' for z in range(8)])\nview"


@pytest.fixture
def canvas(lab: Lab, page: Page) -> Locator:
    lab.open(page, lab.write("sections.ipynb", SECTIONS, SHOWN))
    lab.run(page)
    canvas = page.locator(".emkit-section canvas")
    expect(canvas).to_have_attribute("data-section", "0", timeout=20_000)
    return canvas


def at(canvas: Locator, y: int, x: int) -> tuple[int, int, int]:
    """The colour drawn at a pixel of the 512 × 512 section."""
    drawn = pixels(canvas)
    scale = drawn.shape[1] / 512
    red, green, blue = drawn[round(y * scale), round(x * scale)]
    return int(red), int(green), int(blue)


def test_draws_the_section_it_says(canvas: Locator, page: Page, lab: Lab, watch: Watch) -> None:
    assert at(canvas, 160, 64) == (250, 250, 250)
    assert at(canvas, 300, 300) == (0, 0, 0)
    canvas.press("ArrowRight")
    expect(canvas).to_have_attribute("data-section", "1")
    assert at(canvas, 160, 128) == (250, 250, 250)
    assert at(canvas, 300, 300) == (10, 10, 10)
    assert lab.execute(page, "print(view.index)") == "1\n"
    lab.execute(page, "view.index = 7")
    expect(canvas).to_have_attribute("data-section", "7")
    assert at(canvas, 300, 300) == (70, 70, 70)
    expect(canvas).to_have_attribute("aria-label", "Section 7 of 7, 07.tif, scale bar 500 nm")
    assert watch.errors == []


def test_overlay_shows_what_disagrees_in_colour(canvas: Locator, page: Page, lab: Lab) -> None:
    lab.execute(page, "view.compare(0, 1, 'overlay')")
    expect(canvas).to_have_attribute("aria-label", "Section 0 of 7, 00.tif, with section 1 in cyan, scale bar 500 nm")
    assert at(canvas, 160, 64) == (250, 10, 10)
    assert at(canvas, 160, 128) == (0, 250, 250)


def test_blink_shows_both_in_turn(canvas: Locator, page: Page) -> None:
    page.get_by_role("button", name="Blink").click()
    for section in ("1", "0", "1"):
        expect(canvas).to_have_attribute("data-section", section)
    page.get_by_role("button", name="Single").click()
    expect(canvas).to_have_attribute("data-section", "0")


def test_window_and_zoom(canvas: Locator, page: Page, lab: Lab) -> None:
    lab.execute(page, "view.index = 5")
    lab.execute(page, "view.window = (0, 100)")
    expect(canvas).to_have_attribute("data-section", "5")
    assert at(canvas, 300, 100)[0] in (127, 128)
    frames = int(canvas.get_attribute("data-frames") or 0)
    canvas.press("+")
    expect(canvas).not_to_have_attribute("data-frames", str(frames))
    expect(canvas).to_have_attribute("data-scale-bar", "200 nm")


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_every_kind_of_pixel_is_drawn(lab: Lab, page: Page, encoding: str) -> None:
    kinds = "uint8 uint16 float32"
    cells = [
        f"SectionView((sections[:3] * 1.0).astype('{kind}'), encoding='{encoding}', window=(0, 255))" for kind in kinds.split()
    ]
    lab.open(page, lab.write("kinds.ipynb", SECTIONS, *cells))
    lab.run(page)
    for canvas in page.locator(".emkit-section canvas").all():
        expect(canvas).to_have_attribute("data-section", "0", timeout=20_000)
        canvas.scroll_into_view_if_needed()
        assert np.allclose(at(canvas, 160, 64), 250, atol=4)
        assert np.allclose(at(canvas, 300, 300), 0, atol=4)


def test_a_section_that_cannot_be_read_says_why(lab: Lab, page: Page) -> None:
    broken = """
from emkit.errors import DataError
class Broken:
    def __len__(self): return 3
    def __getitem__(self, z):
        if z == 1: raise DataError("01.tif is cut short: 100 bytes of 4096.")
        return sections[z]
SectionView(Broken())
"""
    lab.open(page, lab.write("broken.ipynb", SECTIONS, broken))
    lab.run(page)
    canvas = page.locator(".emkit-section canvas")
    expect(canvas).to_have_attribute("data-section", "0", timeout=20_000)
    canvas.press("ArrowRight")
    expect(page.locator(".emkit-section .trouble")).to_have_text("01.tif is cut short: 100 bytes of 4096.")
