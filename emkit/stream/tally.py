"""What is there of each frame of a scan: the mask of its sectors, its electrons, and those in the bright field.

It goes over the wire as a block: of all frames the electrons (int32, -1: the frame is not written), of all those in the bright
field (int32), of all the masks (uint8).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emkit.count import virtual
from emkit.count.kernel import sums
from emkit.errors import DataError
from emkit.model import CountedScan

BYTES = 9  # a frame


@dataclass(frozen=True)
class Tally:
    """Arrays of one entry a frame. `electrons` -1: not written; a frame of which nothing came may be written, with the mask 0."""

    masks: NDArray[np.uint8]
    electrons: NDArray[np.int32]
    bright: NDArray[np.int32]

    @classmethod
    def empty(cls, frames: int) -> "Tally":
        return cls(np.zeros(frames, np.uint8), np.full(frames, -1, np.int32), np.zeros(frames, np.int32))

    @classmethod
    def of(cls, masks: NDArray[np.uint8], found: CountedScan, disk: tuple[float, float, float] | None) -> "Tally":
        """Of frames that are counted."""
        bright = sums(found, _mask(found.frame_shape, disk)) if disk else np.zeros(len(masks))
        return cls(masks, found.counts.astype(np.int32), bright.astype(np.int32))

    @classmethod
    def unpacked(cls, block: bytes | memoryview, frames: int) -> "Tally":
        """DataError where the block is not of so many frames."""
        if len(block) != BYTES * frames:
            raise DataError("wrong size")
        electrons, bright = np.frombuffer(block, "<i4", 2 * frames).reshape(2, frames)
        return cls(np.frombuffer(block, np.uint8, frames, 8 * frames), electrons, bright)

    def packed(self) -> bytes:
        return self.electrons.astype("<i4").tobytes() + self.bright.astype("<i4").tobytes() + self.masks.tobytes()

    def __getitem__(self, part: slice) -> "Tally":
        """Of these frames; what is put there is put here."""
        return Tally(self.masks[part], self.electrons[part], self.bright[part])

    def only(self, there: NDArray[np.bool_]) -> "Tally":
        """The same, but that all other frames are not written."""
        return Tally(self.masks, np.where(there, self.electrons, -1).astype(np.int32), self.bright)

    def put(self, other: "Tally") -> int:
        """Keep of each frame what is more whole; how many were taken."""
        more = np.bitwise_count(other.masks) > np.bitwise_count(self.masks)
        better = (other.electrons >= 0) & ((self.electrons < 0) | more)
        for mine, theirs in zip(self._arrays, other._arrays, strict=True):
            mine[better] = theirs[better]
        return int(better.sum())

    def whole(self, sectors: int) -> NDArray[np.bool_]:
        return np.asarray(self.masks == (1 << sectors) - 1)

    @property
    def _arrays(self) -> tuple[NDArray[np.generic], ...]:
        return self.masks, self.electrons, self.bright


@cache
def _mask(frame_shape: tuple[int, int], disk: tuple[float, float, float]) -> NDArray[np.bool_]:
    ky, kx, radius = disk
    return virtual.disk(frame_shape, (ky, kx), radius)
