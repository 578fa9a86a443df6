"""Small scans for tests of the stream: frames of noise with a few electrons, and what counting them gives."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.count import CountedScan, Thresholds, count_frames
from emkit.stream.messages import How
from emkit.stream.plan import Plan

THRESHOLDS = Thresholds(10, 200)
HOW = How(background=10, xray=200)


def a_plan(scan: str = "a", shape: tuple[int, int] = (3, 5), batch: int = 2, sectors: int = 4, axis: int = 0) -> Plan:
    assert axis in (0, 1)
    return Plan(scan=scan, scan_shape=shape, frame_shape=(8, 8), sectors=sectors, axis=axis, batch=batch)  # type: ignore[arg-type]


def frames_of(plan: Plan, seed: int = 0) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    frames = random.integers(0, 9, (plan.frames, *plan.frame_shape), np.uint16)
    frames[random.random(frames.shape) < 0.1] = 50
    return frames


def counted(plan: Plan, frames: NDArray[np.uint16], lost: Iterable[tuple[int, int]] = ()) -> CountedScan:
    """The scan as it is counted from files that lack these (frame, sector)."""
    frames = frames.copy()
    for frame, sector in lost:
        frames[(frame, *plan.window(sector))] = 0
    return count_frames(frames, THRESHOLDS, scan_shape=plan.scan_shape)


def same(a: CountedScan, b: CountedScan) -> bool:
    return np.array_equal(a.offsets, b.offsets) and np.array_equal(a.indices, b.indices) and a.shape == b.shape


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
