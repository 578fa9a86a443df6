"""The picture of the scans page for the docs, for screenshots.py: scans in every state, on a hub of its own."""

import os
import time
from math import prod
from pathlib import Path

import numpy as np
from lab import Save, open_lab, write_notebook

import emkit
from emkit.catalogue import Catalogue
from emkit.io.counted import write_counted
from emkit.io.sectors import write_sectors
from emkit.phantoms import ScanPhantom
from emkit.stream.messages import How
from emkit.stream.parts import PARTS, Part, PartFile, write_plan
from emkit.stream.plan import Plan

CELL = 'from emkit_widgets.scans import ScansPanel\n\nScansPanel("data")'
NOTES = {
    "day2/scan_0044": "gold on carbon, defocus −1.5 µm; drifts at first",
    "day2/scan_0043": "sector server 2 was down: ask for a new scan",
    "day1/scan_0041": "best area of grid B7, for the paper",
}


def expose(folder: Path, phantom: ScanPhantom, at_s: float, without: int | None = None) -> None:
    """Raw sectors of a phantom, as recorded at that time."""
    folder.mkdir(parents=True)
    for first in range(0, prod(phantom.scan_shape), 64):
        numbers = range(first, min(first + 64, prod(phantom.scan_shape)))
        files = write_sectors(folder, {k: phantom.frame(k)[0] for k in numbers}, phantom.scan_shape, f"data{first:06}")
        for sector, file in enumerate(files):
            os.utime(file, (at_s, at_s))
            if sector == without:
                file.unlink()


def make_scans(root: Path) -> None:
    """Seven scans, in all states but that of being counted, which a click begins."""
    now = time.time()
    expose(root / "day1/scan_0041", ScanPhantom((24, 24), seed=5, occupancy=0.001), now - 90_000)
    emkit.count_scan(root / "day1/scan_0041", out=root / "day1/scan_0041-counted")
    write_counted(ScanPhantom((64, 64), (128, 128), 6, 0.02).counted(), root / "day1/scan_0040_electrons.h5")
    os.utime(root / "day1/scan_0040_electrons.h5", (now - 93_600, now - 93_600))
    for number, exposure in ((42, 0), (44, 1), (45, 2)):
        phantom = ScanPhantom((12, 12), seed=3, occupancy=0.001, exposure=exposure)
        expose(root / f"day2/scan_00{number}", phantom, now - 7000 + 300 * exposure)
    expose(root / "day2/scan_0043", ScanPhantom((8, 8), seed=3, occupancy=0.001), now - 6900, without=2)
    _stream(root / "day2/live_0046", ScanPhantom((64, 64), (128, 128), 9, 0.02), 0.6)
    catalogue = Catalogue(root)
    for name, notes in NOTES.items():
        catalogue.note(name, notes)
    catalogue.delete_raw("day1/scan_0041")
    catalogue.close()


def _stream(folder: Path, phantom: ScanPhantom, share: float) -> None:
    """What receivers have written when so much of a scan has come."""
    scan = phantom.counted()
    frames = int(len(scan) * share)
    plan = Plan(scan=folder.name, scan_shape=phantom.scan_shape, frame_shape=phantom.frame_shape)
    with PartFile(folder / PARTS, "receiver") as file:
        write_plan(folder / PARTS, plan, How(background=28, xray=344))
        masks = np.full(frames, 15, np.uint8)
        file.append(Part(0, masks, scan.counts[:frames].astype(np.uint32), scan.indices[: scan.offsets[frames]]))


async def take_scans(save: Save) -> None:
    def fill(home: Path) -> None:
        make_scans(home / "data")
        write_notebook(home / "scans.ipynb", CELL)

    async with open_lab(fill, 1400, 1300) as lab:
        await lab.run("scans.ipynb")
        panel = lab.page.locator(".emkit-scans")
        await panel.locator("tbody tr").nth(6).locator("img").wait_for()
        for scan in ("day2/scan_0044", "day2/scan_0042"):
            await panel.get_by_role("checkbox", name=f"Select {scan}").check()
        await panel.get_by_role("button", name="Count selected").click()
        await panel.locator(".state.counting").first.wait_for()
        save("scans", await panel.screenshot(animations="disabled"))
