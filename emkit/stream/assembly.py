"""From sectors of frames to frames, in any order, with duplicates, with gaps: state without sockets, clocks or files.

A group of frames is ready when every sector that is still expected has sent its message of the group, or when it is flushed.
A group is handed out once. What comes of it afterwards is counted: a duplicate if that sector was there in time, else late.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError
from emkit.stream.messages import Data
from emkit.stream.plan import Plan


@dataclass(frozen=True)
class Group:
    """Frames that are as whole as they get: (n, H, W), and for each the mask of its sectors. What is missing is 0."""

    number: int
    frames: NDArray[np.uint16]
    masks: NDArray[np.uint8]


@dataclass
class _Unready:
    frames: NDArray[np.uint16]
    masks: NDArray[np.uint8]
    heard: int  # sectors that sent their message, as bits
    tick: int


class Assembly:
    """The groups of one scan that wait for sectors. `duplicate`, `late` and `refused` count sectors of frames."""

    def __init__(self, plan: Plan, most_bytes: int = 2**31) -> None:
        self.plan = plan
        self.expected = (1 << plan.sectors) - 1
        self.duplicate = self.late = self.refused = 0
        self._heard_of_done: dict[int, int] = {}
        self._open: dict[int, _Unready] = {}
        self._spare: list[NDArray[np.uint16]] = []
        self._most = max(4, most_bytes // (plan.batch * plan.part_bytes * plan.sectors))

    @property
    def waiting(self) -> int:
        """Groups that are neither handed out nor whole."""
        return len(self._open)

    def is_done(self, group: int) -> bool:
        return group in self._heard_of_done

    def add(self, data: Data, block: NDArray[np.uint16], tick: int = 0) -> Group | None:
        """Take one sector of a group; the group, if it is ready now. `check_data` holds for it."""
        bit = 1 << data.sector
        done = self._heard_of_done.get(data.group)
        held = self._open.get(data.group)
        if done is not None and not done & bit:
            self.late += len(data.frames)
            return None
        if done is not None or (held and held.heard & bit):
            self.duplicate += len(data.frames)
            return None
        if held is None:
            if len(self._open) >= self._most:  # not confirmed, so it comes again
                self.refused += len(data.frames)
                return None
            held = self._open[data.group] = self._new(data.group, tick)
        first = self.plan.group(data.group).start
        at = np.array(data.frames, np.intp) - first
        rows, columns = self.plan.window(data.sector)
        for k, part in zip(at, block, strict=True):
            held.frames[k, rows, columns] = part
        held.masks[at] |= bit
        held.heard |= bit
        return self._finish(data.group) if not self.expected & ~held.heard else None

    def expect(self, sector: int, expected: bool) -> list[Group]:
        """Whether a sector still comes; the groups that are ready for it."""
        bit = 1 << sector
        self.expected = self.expected | bit if expected else self.expected & ~bit
        return [self._finish(group) for group, held in list(self._open.items()) if not self.expected & ~held.heard]

    def flush(self, before: int) -> list[Group]:
        """The groups that began before this tick, as they are."""
        return [self._finish(group) for group, held in list(self._open.items()) if held.tick < before]

    def forget(self) -> None:
        """Drop what is not ready, for it is sent again; by all sectors, until somebody says otherwise."""
        self.expected = (1 << self.plan.sectors) - 1
        self._spare += [held.frames for held in self._open.values()]
        self._open.clear()

    def release(self, group: Group) -> None:
        """The pixels of a group are done with: their memory is used again."""
        if len(self._spare) < 4:
            self._spare.append(group.frames)

    def _new(self, group: int, tick: int) -> _Unready:
        size = len(self.plan.group(group))
        frames = self._spare.pop() if self._spare else np.zeros((self.plan.batch, *self.plan.frame_shape), np.uint16)
        return _Unready(frames, np.zeros(size, np.uint8), 0, tick)

    def _finish(self, number: int) -> Group:
        held = self._open.pop(number)
        self._heard_of_done[number] = held.heard
        for sector in range(self.plan.sectors):  # the memory may hold older frames
            if (lacking := np.flatnonzero(~held.masks & 1 << sector)).size:
                held.frames[(lacking, *self.plan.window(sector))] = 0
        return Group(number, held.frames, held.masks)


def check_data(plan: Plan, data: Data, block_bytes: int) -> None:
    """Refuse a message that does not fit its scan: DataError with the reason."""
    if data.sector >= plan.sectors or data.group >= plan.groups:
        raise DataError("beyond the scan")
    group = plan.group(data.group)
    if any(a >= b for a, b in zip(data.frames, data.frames[1:], strict=False)) or any(k not in group for k in data.frames):
        raise DataError("frames of another group")
    if block_bytes != len(data.frames) * plan.part_bytes:
        raise DataError("wrong size")
