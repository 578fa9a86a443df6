"""A receiver without sockets: assembles groups, counts them, writes them, and only then says so."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.count import count_frames
from emkit.errors import DataError
from emkit.model import Thresholds
from emkit.stream import messages as m
from emkit.stream.assembly import Assembly, Group, check_data
from emkit.stream.parts import Part, PartFile, packed

PARTS = "parts"  # a folder in that of the scan
FLUSH_TICKS = 120  # of half a second: a group that old is written as it is, whatever its senders promise
Said = tuple[m.Message, bytes]


@dataclass
class _Scan:
    how: m.Open
    assembly: Assembly
    file: PartFile
    masks: NDArray[np.uint8] = field(init=False)
    electrons: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.masks = np.zeros(self.how.plan.frames, np.uint8)
        self.electrons = np.full(self.how.plan.frames, -1, np.int32)


class Receiving:
    """Scans below `folder`. Time is told in ticks, which stand still while this process does: a receiver that was stopped for a
    while must not take what it holds for old."""

    def __init__(self, folder: Path, name: str, dark: NDArray[Any] | None = None, flush_ticks: int = FLUSH_TICKS) -> None:
        self.folder, self.name, self.dark, self.flush_ticks = folder, name, dark, flush_ticks
        self.refused = 0
        self.written = 0  # frames
        self._scans: dict[str, _Scan] = {}
        self._tick = 0

    def ready(self) -> Said:
        return m.Ready(role="receiver", name=self.name), b""

    def hear(self, message: m.Message, block: memoryview) -> list[Said]:
        match message:
            case m.Data():
                return self._data(message, block)
            case m.Open():
                self._open(message)
            case m.Expect() if scan := self._scans.get(message.scan):
                return [self._write(scan, group) for group in scan.assembly.expect(message.sector, message.expected)]
            case m.Welcome():
                return self._start_over()
            case m.Closed() if scan := self._scans.pop(message.scan, None):
                scan.file.close()
        return []

    def tick(self) -> list[Said]:
        """Every half second: what has waited too long is written as it is."""
        self._tick += 1
        old = self._tick - self.flush_ticks
        return [self.ready(), *(self._write(scan, group) for scan in self._scans.values() for group in scan.assembly.flush(old))]

    def close(self) -> None:
        for scan in self._scans.values():
            scan.file.close()
        self._scans.clear()

    def _open(self, how: m.Open) -> None:
        if self.dark is not None and self.dark.shape != how.plan.frame_shape:
            raise DataError(f"dark: found the shape {self.dark.shape}, but frames of {how.plan.scan} are {how.plan.frame_shape}.")
        if how.plan.scan not in self._scans:
            file = PartFile(self.folder / how.plan.scan / PARTS, self.name)
            self._scans[how.plan.scan] = _Scan(how, Assembly(how.plan), file)

    def _data(self, data: m.Data, block: memoryview) -> list[Said]:
        if (scan := self._scans.get(data.scan)) is None:
            return [(m.Missed(scan=data.scan), b"")]
        try:
            check_data(scan.how.plan, data, len(block))
        except DataError:
            self.refused += 1
            return []
        pixels = np.frombuffer(block, "<u2").reshape(-1, *scan.how.plan.part_shape)
        if ready := scan.assembly.add(data, pixels, self._tick):
            return [self._write(scan, ready)]
        return [self._told(scan, data.group)] if scan.assembly.is_done(data.group) else []

    def _write(self, scan: _Scan, group: Group) -> Said:
        plan, there = scan.how.plan, plan_slice(scan.how.plan, group.number)
        size = len(group.masks)
        found = count_frames(group.frames[:size], Thresholds(scan.how.background, scan.how.xray), self.dark, ties=scan.how.ties)
        scan.file.append(Part(plan.group(group.number).start, group.masks, found.counts.astype("<u4"), found.indices))
        scan.masks[there], scan.electrons[there] = group.masks, found.counts
        scan.assembly.release(group)
        self.written += size
        return self._told(scan, group.number)

    def _told(self, scan: _Scan, group: int) -> Said:
        there, held = plan_slice(scan.how.plan, group), scan.assembly
        masks, electrons = tuple(scan.masks[there].tolist()), tuple(scan.electrons[there].tolist())
        return m.Written(
            scan=scan.how.plan.scan,
            group=group,
            masks=masks,
            electrons=electrons,
            duplicate=held.duplicate,
            late=held.late,
            refused=held.refused,
        ), b""

    def _start_over(self) -> list[Said]:
        """Another aggregator, or one that took this receiver for dead: what is not written comes again, to somebody."""
        said: list[Said] = []
        for scan in self._scans.values():
            scan.assembly.forget()
            said.append((m.Here(plan=scan.how.plan), packed(scan.masks, scan.electrons)))
        return said


def plan_slice(plan: m.Plan, group: int) -> slice:
    frames = plan.group(group)
    return slice(frames.start, frames.stop)
