"""What a sender sends: raw files of the camera, or a phantom. Both tell a plan, and read a sector of a group of frames."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError
from emkit.io.sectors import SHAPES, RawScan
from emkit.phantoms import ScanPhantom
from emkit.stream.plan import Plan


class Source(Protocol):
    plan: Plan

    def read(self, sector: int, group: int) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
        """The frames of a group that have this sector, and their pixels (n, h, w), contiguous."""
        ...


@dataclass
class RawSource:
    """Raw files, read where they lie."""

    raw: RawScan
    scan: str
    batch: int = 16
    plan: Plan = field(init=False)
    _files: dict[int, NDArray[np.uint8]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        raw = self.raw
        if raw.version not in SHAPES:
            raise DataError(
                f"raw files of version {raw.version} are not streamed; needed: version 3, 4 or 5. Count them: emkit count-scan."
            )
        axis: Literal[0, 1] = 1 if raw.version == 4 else 0
        self.plan = Plan(
            scan=self.scan, scan_shape=raw.scan_shape, frame_shape=raw.frame_shape, sectors=raw.sectors, axis=axis, batch=self.batch
        )

    def read(self, sector: int, group: int) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
        frames = tuple(k for k in self.plan.group(group) if self.raw.file_of[k, sector] >= 0)
        block = np.empty((len(frames), *self.plan.part_shape), np.uint16)
        for part, k in zip(block, frames, strict=True):
            at = int(self.raw.byte_of[k, sector])
            part[:] = self._file(int(self.raw.file_of[k, sector]))[at : at + part.nbytes].view("<u2").reshape(part.shape)
        return frames, block

    def _file(self, index: int) -> NDArray[np.uint8]:
        if index not in self._files:
            self._files[index] = np.memmap(self.raw.files[index], np.uint8, "r")
        return self._files[index]


@dataclass
class PhantomSource:
    """A phantom; only the first `distinct` frames are made, and then come again."""

    phantom: ScanPhantom
    scan: str
    batch: int = 16
    sectors: int = 4
    distinct: int = 64
    plan: Plan = field(init=False)
    _made: dict[int, NDArray[np.uint16]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        shape = self.phantom.frame_shape
        self.plan = Plan(
            scan=self.scan, scan_shape=self.phantom.scan_shape, frame_shape=shape, sectors=self.sectors, axis=0, batch=self.batch
        )

    def read(self, sector: int, group: int) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
        frames, window = self.plan.group(group), self.plan.window(sector)
        for k in {k % self.distinct for k in frames} - self._made.keys():
            self._made[k] = self.phantom.frame(k)[0]
        return tuple(frames), np.stack([self._made[k % self.distinct][window] for k in frames])
