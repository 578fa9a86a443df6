"""Cells merged, split and brought back by clicks in the view that `emkit view --correct` opens: what is saved, and what is seen."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from emkit import segment
from emkit.io.edits import edits_of, read_edits
from tests.browser.tools import Watch, pixels, until
from tests.io.readers import write_volume
from tests.membrane.test_instances import cells
from tests.steps.test_correcting import NM, centre, labels_of

FLAT, PROBABILITY = cells(4, (1, 200, 240), 12, flat=True)
READY = "window.viewer?.isReady() && !document.getElementById('emkit-correct')?.hidden"


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seg")
    write_volume(folder / "p.ome.zarr", np.concatenate([PROBABILITY] * 3), NM)
    write_volume(folder / "raw.ome.zarr", np.concatenate([255 - np.uint8(PROBABILITY * 200)] * 3), NM)
    segment(folder / "p.ome.zarr", out=folder / "cells.ome.zarr", dim=3)
    return folder / "cells.ome.zarr"


@pytest.fixture
def address(seg: Path) -> Iterator[str]:
    words = ["view", str(seg), "--correct", "--image", str(seg.with_name("raw.ome.zarr"))]
    with subprocess.Popen([sys.executable, "-m", "emkit.cli", *words], stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            yield viewer.stdout.readline().strip()
        finally:
            viewer.terminate()


def click_at(page: Page, voxel: tuple[int, int, int]) -> None:
    """Bring a voxel to the middle of the view, and click there."""
    z, y, x = voxel
    page.evaluate(f"viewer.navigationState.position.restoreState([{x}, {y}, {z}])")
    until(page, READY)
    box = page.locator(".neuroglancer-rendered-data-panel").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2 + 9, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def colour(page: Page, voxel: tuple[int, int, int]) -> np.ndarray:
    """What is seen of a voxel, brought to the middle of the view, in the mean of some pixels."""
    z, y, x = voxel
    page.mouse.move(5, 5)  # what lies under the mouse is highlighted
    page.evaluate(f"viewer.navigationState.position.restoreState([{x}, {y}, {z}])")
    until(page, READY + " && !viewer.mouseState.active")
    seen = pixels(page.locator(".neuroglancer-rendered-data-panel"))
    middle = np.array(seen.shape[:2]) // 2
    mean: np.ndarray = seen[middle[0] - 6 : middle[0] - 2, middle[1] + 2 : middle[1] + 6].astype(float).mean((0, 1))
    return mean


def test_two_clicks_merge_and_the_next_two_split(seg: Path, address: str, page: Page, watch: Watch) -> None:
    labels = labels_of(seg)
    first, second = (int(label) for label in np.argsort(-np.bincount(labels.ravel()))[:2])
    a, b = centre(labels, first), centre(labels, second)
    page.goto(address)
    until(page, READY)
    page.evaluate("viewer.state.restoreState({layout: 'xy'})")
    before = colour(page, a), colour(page, b)
    assert np.abs(before[0] - before[1]).max() > 12, "two cells look alike"

    bar = page.locator("#emkit-correct")
    bar.get_by_role("button", name="Merge").click()
    click_at(page, a)
    expect(bar).to_contain_text("Now the other cell")
    click_at(page, b)
    expect(bar).to_contain_text("Edit 1: merged")
    (merge,) = read_edits(edits_of(seg))
    assert merge.points == (a, b)
    assert np.abs(colour(page, a) - colour(page, b)).max() < 6, "what was merged is not of one colour"

    bar.get_by_role("button", name="Split").click()
    for point in (a, b):
        click_at(page, point)
    expect(bar).to_contain_text("Edit 2: split")
    now = colour(page, a), colour(page, b)
    assert max(np.abs(one - other).max() for one, other in zip(now, before, strict=True)) < 6, "the split brings back both cells"

    for point in (a, b):
        click_at(page, point)
    expect(bar).to_contain_text("Nothing to split: the points lie in two cells already")
    bar.get_by_role("button", name="Undo").click()
    expect(bar).to_contain_text("Edit 3: 2 is undone")
    assert [edit.kind for edit in read_edits(edits_of(seg))] == ["merge", "split", "undo"]
    assert watch.errors == [] and [code for code, _ in watch.failed() if code != 409] == []
