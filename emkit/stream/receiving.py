"""A receiver without sockets: assembles groups, counts them, writes them, and only then says so."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.count import count_frames
from emkit.errors import DataError
from emkit.stream import messages as m
from emkit.stream.assembly import Assembly, Group, check_data
from emkit.stream.parts import PARTS, Part, PartFile, write_plan
from emkit.stream.tally import Tally

FLUSH_TICKS = 120  # of half a second: a group that old is written as it is, whatever its senders promise
Said = tuple[m.Message, bytes]


@dataclass
class _Scan:
    open: m.Open
    assembly: Assembly
    file: PartFile
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally.empty(self.open.plan.frames)


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
                self._begin(message)
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

    def _begin(self, message: m.Open) -> None:
        plan = message.plan
        if self.dark is not None and self.dark.shape != plan.frame_shape:
            raise DataError(f"dark: found the shape {self.dark.shape}, but frames of {plan.scan} are {plan.frame_shape}.")
        if plan.scan not in self._scans:
            file = PartFile(self.folder / plan.scan / PARTS, self.name)
            write_plan(file.path.parent, plan, message.how)
            self._scans[plan.scan] = _Scan(message, Assembly(plan), file)

    def _data(self, data: m.Data, block: memoryview) -> list[Said]:
        if (scan := self._scans.get(data.scan)) is None:
            return [(m.Missed(scan=data.scan), b"")]
        try:
            check_data(scan.open.plan, data, len(block))
        except DataError:
            self.refused += 1
            return []
        pixels = np.frombuffer(block, "<u2").reshape(-1, *scan.open.plan.part_shape)
        if ready := scan.assembly.add(data, pixels, self._tick):
            return [self._write(scan, ready)]
        return [self._told(scan, data.group)] if scan.assembly.is_done(data.group) else []

    def _write(self, scan: _Scan, group: Group) -> Said:
        plan, how, size = scan.open.plan, scan.open.how, len(group.masks)
        found = count_frames(group.frames[:size], how.thresholds, self.dark, ties=how.ties)
        scan.file.append(Part(plan.group(group.number).start, group.masks, found.counts.astype("<u4"), found.indices))
        scan.tally[plan.span(group.number)].put(Tally.of(group.masks, found, how.disk))
        scan.assembly.release(group)
        self.written += size
        return self._told(scan, group.number)

    def _told(self, scan: _Scan, group: int) -> Said:
        plan, held = scan.open.plan, scan.assembly
        written = m.Written(scan=plan.scan, group=group, duplicate=held.duplicate, late=held.late, refused=held.refused)
        return written, scan.tally[plan.span(group)].packed()

    def _start_over(self) -> list[Said]:
        """Another aggregator, or one that took this receiver for dead: what is not written comes again, to somebody."""
        for scan in self._scans.values():
            scan.assembly.forget()
        return [(m.Here(plan=scan.open.plan), scan.tally.packed()) for scan in self._scans.values()]
