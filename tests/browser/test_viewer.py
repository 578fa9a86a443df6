"""The Neuroglancer view in a real notebook: pixels, ranged requests, and a position that goes both ways."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Page, expect

from emkit.io.omezarr import build_block, create_volume, levels_to_build, shard_grid, write_block
from tests.browser.tools import Lab, Watch, drawn_viewer, pixels, until, viewer_frame


def write_volume(path: Path) -> None:
    """A (12, 256, 256) volume of bright squares on dark, voxels of (45, 4.6, 4.6) nm."""
    squares = np.kron(np.indices((12, 8, 8)).sum(0) % 2, np.ones((1, 32, 32))).astype(np.uint8) * 200 + 20
    create_volume(path, shape=squares.shape, dtype="uint8", voxel_size_nm=(45, 4.6, 4.6))
    for block in shard_grid(path):
        write_block(path, block, squares[block.slices])
    for level in levels_to_build(path):
        for block in shard_grid(path, level):
            build_block(path, level, block)


@pytest.fixture
def viewer(lab: Lab, page: Page) -> Page:
    """A notebook that shows the volume, scrolled to where it is seen."""
    volume = lab.folder / "squares.ome.zarr"
    if not volume.exists():
        write_volume(volume)
    show = f"from emkit_widgets.viewer import NeuroglancerView\nview = NeuroglancerView({str(volume)!r})\nview"
    lab.open(page, lab.write("viewer.ipynb", show))
    lab.run(page)
    drawn_viewer(page)
    return page


def test_shows_pixels_by_ranged_requests(viewer: Page, watch: Watch) -> None:
    seen = pixels(viewer.locator("iframe"))
    panel = seen[80:280, 100:300].astype(int)
    assert (panel > 200).mean() > 0.2 and (panel < 60).mean() > 0.2, "the squares are not there"
    assert watch.count(206, "emkit/data") > 0
    assert watch.failed("emkit/") == []


def test_sections_before_stand_beside_the_volume(lab: Lab, page: Page, watch: Watch) -> None:
    volume, sections = lab.folder / "beside.ome.zarr", lab.folder / "sections"
    write_volume(volume)
    sections.mkdir()
    for z in range(12):
        tifffile.imwrite(sections / f"{z:02}.tif", np.full((256, 256), 250, np.uint8))
    show = f"from emkit_widgets.viewer import NeuroglancerView\nNeuroglancerView({str(volume)!r}, before={str(sections)!r})"
    lab.open(page, lab.write("beside.ipynb", show))
    lab.run(page)
    drawn_viewer(page)
    assert watch.count(200, "emkit/sections/") > 0 and watch.count(206, "emkit/data/") > 0
    assert watch.failed("emkit/") == []
    left, right = ((half > 240).mean() for half in np.array_split(pixels(page.locator("iframe"))[60:300], 2, axis=1))
    assert left > 0.1, "the sections are not there: they are white all over"
    assert 0.3 * left < right < 0.8 * left, "the volume is not there: half of it is white"


def test_position_goes_both_ways(viewer: Page, lab: Lab) -> None:
    lab.execute(viewer, "view.position = (3, 40, 50)")
    inside = viewer_frame(viewer)
    until(inside, "String(viewer.navigationState.position.toJSON()) === '50,40,3'")
    inside.evaluate("viewer.navigationState.position.restoreState([200.5, 100.5, 7.5])")
    viewer.wait_for_function(
        """async () => {
            const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            let text = '';
            const future = kernel.requestExecute({code: 'print(view.position, view.ready)'});
            future.onIOPub = message => { text += message.content.text ?? ''; };
            await future.done;
            return text === '(7.5, 100.5, 200.5) True\\n';
        }"""
    )


def test_layers_can_be_set(viewer: Page, lab: Lab) -> None:
    lab.execute(viewer, "view.state = {**view.state, 'layout': 'xy', 'layers': [{**view.state['layers'][0], 'name': 'renamed'}]}")
    expect(viewer.frame_locator("iframe").get_by_text(re.compile("renamed")).first).to_be_visible()


def test_nothing_is_said_of_a_python_server(viewer: Page) -> None:
    """The wheel's client looks for one; `quiet.js` stands in for it."""
    expect(viewer.frame_locator("iframe").get_by_text("Python server").filter(visible=True)).to_have_count(0)
