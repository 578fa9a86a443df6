"""The picture of a prediction that is being corrected, for screenshots.py: a phantom, a model that learned little, strokes."""

from pathlib import Path

from lab import Lab, Save, open_lab, write_notebook
from playwright.async_api import Locator

import emkit

PANEL = """from emkit_widgets.learn import LearnPanel

LearnPanel("raw", "corrected", model="model", voxel_size_nm=(45, 4.6, 4.6))"""
NM = (45.0, 4.6, 4.6)
MEMBRANE = ([(0.220, 0.555), (0.217, 0.637), (0.200, 0.739)], [(0.429, 0.254), (0.517, 0.261), (0.551, 0.227)])
INTERIOR = ([(0.555, 0.285), (0.590, 0.275)], [(0.120, 0.360), (0.160, 0.420), (0.220, 0.400)])


async def take_paint(save: Save) -> None:
    def fill(home: Path) -> None:
        emkit.make_phantom(out=home / "raw", sections=6, size_px=512, cells=True)
        emkit.train_membranes(
            images=home / "raw", labels=home / "raw" / "cells", label_kind="instances", voxel_size_nm=NM, out=home / "model",
            steps=150, width=8, patch_px=96,
        )  # fmt: skip
        write_notebook(home / "correct.ipynb", PANEL)

    async with open_lab(fill, 1250, 1500) as lab:
        await lab.run("correct.ipynb")
        panel = lab.page.locator(".emkit-learn")
        canvas = panel.locator("canvas")
        await panel.locator("canvas[aria-busy=false]").wait_for()
        await canvas.press("p")
        await panel.locator("canvas[data-known=true]").wait_for()
        for key, strokes in (("2", MEMBRANE), ("1", INTERIOR)):
            await canvas.press(key)
            for points in strokes:
                await _draw(lab, canvas, points)
        await panel.get_by_text("4 strokes").wait_for()
        save("paint", await panel.screenshot(animations="disabled"))


async def _draw(lab: Lab, canvas: Locator, points: list[tuple[float, float]]) -> None:
    """Through points (y, x), in parts of the canvas."""
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for y, x in points]
    await lab.page.mouse.move(*places[0])
    await lab.page.mouse.down()
    for place in places:
        await lab.page.mouse.move(*place, steps=5)
    await lab.page.mouse.up()
