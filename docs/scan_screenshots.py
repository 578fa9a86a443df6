"""Pictures of a scan counted by eye, for screenshots.py: a threshold that is dragged, and the images of the counted scan."""

from lab import Save
from playwright.async_api import Page


async def take_counting(page: Page, save: Save) -> None:
    """On a page that shows the dashboard "Count a scan"."""
    await page.set_viewport_size({"width": 1200, "height": 1500})
    chosen, told = page.locator(".emkit-chosen"), page.locator(".emkit-frames .told")
    await told.get_by_text("electrons in this frame").wait_for()
    line = page.get_by_role("slider", name="background, ADU")
    at = await line.locator(".grip").bounding_box()
    if at is None:
        raise RuntimeError("The line of the background is not drawn.")
    before = await told.inner_text()
    await page.mouse.move(at["x"] + 5, at["y"] + 7)
    await page.mouse.down()
    await page.mouse.move(at["x"] + 60, at["y"] + 7, steps=10)
    await page.mouse.up()
    await page.wait_for_function("before => document.querySelector('.emkit-frames .told').innerText !== before", arg=before)
    save("count-thresholds", await chosen.screenshot(animations="disabled"))
    await page.get_by_role("button", name="Estimate again").click()
    await page.wait_for_function("before => document.querySelector('.emkit-frames .told').innerText === before", arg=before)
    await page.locator(".emkit-form").first.get_by_role("button", name="Run").click()
    images = page.locator(".emkit-imaged")
    await images.locator("img").nth(3).wait_for()
    await page.get_by_role("slider", name="dark-field inner radius, px").press("ArrowRight")
    save("count-images", await images.screenshot(animations="disabled"))
