"""A phantom streamed to a session, so that anybody can try one without a camera."""

from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emkit.errors import PathError
from emkit.phantoms import ScanPhantom
from emkit.stream.local import SENDER, begin_senders
from emkit.stream.plan import Plan
from emkit.stream.session import LIVING, Session

FRAME_SHAPE, SECTORS = (96, 96), 2  # small: every sender makes whole frames
OCCUPANCY = 0.05
DISK = (47.5, 47.5, 24.0)  # its bright field


@dataclass
class TrialSource:
    """A phantom whose frames are made as they are sent. Of its sectors a part never comes, as when a camera's server is overrun."""

    phantom: ScanPhantom
    plan: Plan
    lost: float = 0.0

    def read(self, sector: int, group: int) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
        chance, window = np.random.default_rng([group, sector]), self.plan.window(sector)
        frames = tuple(k for k in self.plan.group(group) if chance.random() >= self.lost)
        block = np.empty((len(frames), *self.plan.part_shape), np.uint16)
        for part, k in zip(block, frames, strict=True):
            part[:] = self.phantom.frame(k)[0][window]
        return frames, block


def send_phantom(
    out: Path, scan_shape: tuple[int, int] = (48, 48), scan: str = "", rate: float | None = None, lost: float = 0.0
) -> list[BaseProcess]:
    """Stream a phantom to the session of a folder, two sectors, a process each; they are returned while they send, and end with
    this process. `lost`: the part of sectors of frames that never comes. PathError where no session runs."""
    session = Session(Path(out).absolute())
    said = session.said()
    if said.state not in LIVING or not said.address:
        raise PathError(f"{out} has no streaming session that runs. Start one: emkit stream start {out} …")
    phantom = ScanPhantom(scan_shape, FRAME_SHAPE, occupancy=OCCUPANCY)
    plan = Plan(
        scan=scan or f"phantom-{datetime.now():%H%M%S}", scan_shape=scan_shape, frame_shape=FRAME_SHAPE, sectors=SECTORS, batch=8
    )
    source = TrialSource(phantom, plan, lost)
    return begin_senders(said.address, session.security(SENDER), source, window=16, rate=rate)
