"""The loop in a real notebook: paint with the pointer, predict, undo; and `emkit view --predict`, whose overlay is drawn."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.tools import Lab, Watch, pixels, until
from tests.io.readers import write_volume
from tests.steps.test_predicting import NM, model_folder

SHOWN = """
from emkit_widgets.learn import LearnPanel
panel = LearnPanel("raw.ome.zarr", "learned", model="model")
panel
"""


def planted(folder: Path) -> None:
    """Noise, and a model of random weights that says something everywhere."""
    gray = np.random.default_rng(0).integers(60, 200, (2, 256, 256), dtype=np.uint8)
    write_volume(folder / "raw.ome.zarr", gray, NM)
    model_folder(folder / "model")


@pytest.fixture
def canvas(lab: Lab, page: Page) -> Locator:
    planted(lab.folder)
    lab.open(page, lab.write("learn.ipynb", SHOWN))
    lab.run(page)
    canvas = page.locator(".emkit-paint canvas")
    expect(canvas).to_have_attribute("aria-busy", "false", timeout=60_000)
    return canvas


def drag(page: Page, canvas: Locator, *points: tuple[float, float]) -> None:
    """Draw through points (y, x), in parts of the canvas."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + points[0][1] * box["width"], box["y"] + points[0][0] * box["height"])
    page.mouse.down()
    for y, x in points:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()


def test_paint_predict_undo(canvas: Locator, page: Page, lab: Lab, watch: Watch, tmp_path: Path) -> None:
    counted = page.locator(".emkit-paint .counted")
    expect(counted).to_have_text("Round 1: 0 strokes, 0.0 min")
    drag(page, canvas, (0.25, 0.25), (0.25, 0.75))
    expect(counted).to_have_text("Round 1: 1 stroke, 0.0 min")
    drawn = pixels(canvas)
    red, green, blue = (int(part) for part in drawn[len(drawn) // 4, drawn.shape[1] // 2])
    assert red > blue + 60 and green > blue + 40, "membrane is painted yellow"
    found = lab.execute(page, "s = panel.easel.strokes.read(__import__('emkit.blocks').blocks.Block((0, 2), (0, 256), (0, 256)))\n"
                        "print(s[1, 64, 64], s[1, 64, 190], (s == 2).sum() == (s > 0).sum(), (s > 0).sum() > 128 * 7)")  # fmt: skip
    assert found == "2 2 True True\n"

    before = pixels(canvas)
    canvas.press("p")
    expect(canvas).to_have_attribute("data-known", "true", timeout=120_000)
    expect(page.locator(".emkit-paint .busy")).to_have_text("")
    assert (pixels(canvas).astype(int) - before)[..., 0].mean() > 5, "the prediction is laid over in red"
    page.locator(".emkit-paint").screenshot(path=tmp_path / "panel.png")
    canvas.press("1")
    canvas.press("f")
    drag(page, canvas, (0.6, 0.6))
    canvas.press("z")
    canvas.press("z")
    expect(counted).to_have_text("Round 1: 0 strokes, 0.0 min")
    expect(canvas).to_have_attribute("data-painted", "0")
    canvas.press("ArrowLeft")
    expect(canvas).to_have_attribute("aria-label", "Section 0")
    assert watch.errors == [] and watch.failed("emkit/") == []
    lab.shut(page)


def test_view_predicts_where_one_looks_within_a_box(page: Page, watch: Watch, tmp_path: Path) -> None:
    planted(tmp_path)
    words = ["view", str(tmp_path / "raw.ome.zarr"), "--predict", str(tmp_path / "model"), "--box", "0:2,0:256,0:128"]
    command = [str(Path(sys.executable).with_name("emkit")), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            page.goto(viewer.stdout.readline().strip())
            until(page, "window.viewer?.isReady?.()")
            drawn = pixels(page).astype(int)
            height, width, _ = drawn.shape
            left, right = np.array_split(drawn[height // 8 : height * 3 // 8, : width // 2], 2, axis=1)  # of the panel xy
            redness = [(half[..., 0] - half[..., 2])[half.sum(-1) > 100].mean() for half in (left, right)]
            assert redness[0] > redness[1] + 5, "the prediction is there, but only in the box"
            assert watch.count(200, "emkit/predict/") > 1 and watch.failed() == []
        finally:
            viewer.send_signal(signal.SIGINT)
            assert viewer.wait(timeout=60) == 0
