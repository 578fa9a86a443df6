"""Small scans on disk for these tests: raw sectors of 2 x 2 positions, counted ones of any size."""

from math import prod
from pathlib import Path

import numpy as np

from emkit.io.counted import write_counted
from emkit.io.sectors import write_sectors
from emkit.phantoms import ScanPhantom
from emkit.stream.messages import How
from emkit.stream.parts import PARTS, Part, PartFile, write_plan
from emkit.stream.plan import Plan

SMALL = (2, 2)


def raw(folder: Path, *, seed: int = 1, without: int | None = None) -> Path:
    """Four frames in four files of sectors; one of them may be missing."""
    phantom = ScanPhantom(SMALL, seed=seed, occupancy=0.001)
    folder.mkdir(parents=True)
    files = write_sectors(folder, {k: phantom.frame(k)[0] for k in range(prod(SMALL))}, SMALL, "data")
    if without is not None:
        files[without].unlink()
    return folder


def counted(path: Path, scan_shape: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_counted(ScanPhantom(scan_shape, (64, 64), occupancy=0.01).counted(), path)
    return path


def streamed(folder: Path, frames: int) -> Path:
    """What receivers have written when so many frames of 64 have come."""
    scan = ScanPhantom((8, 8), (64, 64), occupancy=0.01).counted()
    with PartFile(folder / PARTS, "receiver") as file:
        plan = Plan(scan=folder.name, scan_shape=scan.scan_shape, frame_shape=scan.frame_shape)
        write_plan(folder / PARTS, plan, How(background=28, xray=344))
        counts, masks = scan.counts[:frames].astype(np.uint32), np.full(frames, 15, np.uint8)
        file.append(Part(0, masks, counts, scan.indices[: scan.offsets[frames]]))
    return folder
