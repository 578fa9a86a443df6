"""The picture of a live scan for the docs, for screenshots.py: the curated notebook on a hub of its own."""

import shutil
from pathlib import Path

from lab import Save, open_lab

NOTEBOOK = Path(__file__).parents[1] / "notebooks/stream_a_scan.ipynb"


async def take_stream(save: Save) -> None:
    async with open_lab(lambda home: shutil.copy(NOTEBOOK, home), 1250, 1400) as lab:
        await lab.run(NOTEBOOK.name)
        live = lab.page.locator(".emkit-live")
        await live.get_by_role("button", name="Start").click()
        for _ in range(2):  # the second one is seen half there, over the report of the first
            await live.get_by_role("button", name="Send a phantom").click()
            await live.get_by_text("% after").wait_for()
            await lab.page.wait_for_function("document.querySelector('.emkit-live [role=progressbar]').ariaValueNow > 1300")
            save("stream-live", await live.screenshot(animations="disabled"))
            await live.get_by_text("frames/s on the whole").wait_for()
        await live.get_by_role("button", name="Stop").click()
        await live.get_by_text("it was asked to end").wait_for()
