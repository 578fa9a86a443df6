"""A run that is kept, in JupyterLab: the tab is closed, the kernel ended; the notebook, opened again, shows bar, panel, result."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from emkit.runs import find_run
from tests.browser.tools import Lab, Watch

MADE = """import emkit
from emkit_widgets.form import StepForm

form = StepForm(emkit.make_phantom, out="{out}", sections={sections}, size_px=384)
"""
VIEW = "import ipywidgets\nform.then(lambda ran: ipywidgets.HTML(f'seen: {ran[\"sections\"]} sections'))"
PANEL = "from emkit_widgets.runs import RunsPanel\n\npanel = RunsPanel()\npanel"


@contextmanager
def held(pid: int) -> Iterator[None]:
    """Within: this process stands still, so that its run is not done before it is looked at again."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_it_goes_on_without_tab_and_kernel_and_its_result_appears(lab: Lab, page: Page, watch: Watch) -> None:
    page.set_viewport_size({"width": 1400, "height": 1800})
    lab.open(page, lab.write("kept.ipynb", MADE.format(out="kept", sections=60) + "form", VIEW, PANEL))
    lab.run(page)
    form, panel = page.locator(".emkit-form"), page.locator(".emkit-runs")
    form.get_by_role("checkbox", name="Keep running").check()
    form.get_by_role("button", name="Run").click()
    expect(form.get_by_text("sections/s")).to_be_visible(timeout=60_000)
    with held(find_run(str(lab.folder / "kept")).said()["pid"]):
        expect(panel.get_by_role("row", name="running make_phantom")).to_be_visible(timeout=60_000)  # without anybody asking
        lab.shut(page)
        page.goto("about:blank")
        lab.open(page, "kept.ipynb")
        lab.run(page)
        expect(form.get_by_text("was begun before")).to_be_visible()
        expect(form.get_by_role("button", name="Run")).to_be_disabled()
        expect(form.get_by_text("sections/s")).to_be_visible(timeout=60_000)
    expect(form.get_by_text("Done in")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("seen: 60 sections")).to_be_visible()
    expect(panel.get_by_role("row", name="done make_phantom kept")).to_be_visible(timeout=60_000)
    assert watch.errors == []
    lab.shut(page)


def test_cancel_and_resume_in_the_panel_and_no_question_out_of_sight(lab: Lab, page: Page, watch: Watch) -> None:
    start = "form.keep.value = True\nstarted = form.start()"
    lab.open(page, lab.write("panel.ipynb", MADE.format(out="long", sections=500) + start, PANEL))
    lab.run(page)
    panel = page.locator(".emkit-runs")
    expect(panel.get_by_text("of 500 sections").first).to_be_visible(timeout=60_000)
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("row", name="cancelled make_phantom long")).to_be_visible(timeout=60_000)
    panel.get_by_role("button", name="Resume").click()
    expect(panel.get_by_role("row", name="running make_phantom long")).to_be_visible(timeout=60_000)
    lab.execute(page, "asked = []\npanel.on_msg(lambda *_: asked.append(1))")
    panel.evaluate("one => { one.style.display = 'none'; }")
    page.evaluate("new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
    before = int(lab.execute(page, "print(len(asked))"))
    page.wait_for_timeout(3500)  # three times as long as it waits where it is seen
    assert int(lab.execute(page, "print(len(asked))")) <= before + 1, "one question may have been under way"
    panel.evaluate("one => { one.style.display = ''; }")
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("row", name="cancelled make_phantom long")).to_be_visible(timeout=60_000)
    assert watch.errors == []
    lab.shut(page)
