"""From what receivers wrote to one counted scan, and a report of every difference from the whole."""

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from emkit.io.counted import write_counted
from emkit.model import CountedScan, offsets_of
from emkit.stream.messages import How, Totals
from emkit.stream.parts import PARTS, SUFFIX, read_parts, read_plan
from emkit.stream.plan import Plan
from emkit.stream.tally import Tally

COUNTED, REPORT = "counted", "report.json"  # in the folder of the scan


@dataclass(frozen=True)
class StreamReport:
    """What arrived. `lacking`: (frame, sectors that did not come) of every frame that is not whole. Numbers are of frames, but
    `duplicate` and `late` of sectors of frames, and `refused` of messages by reason, all that the aggregator refused so far."""

    scan: str
    scan_shape: tuple[int, int]
    frames: int
    complete: int
    partial: int
    missing: int
    electrons: int
    duplicate: int
    late: int
    twice: int
    differing: tuple[int, ...]
    silent: tuple[int, ...]
    refused: dict[str, int]
    waited_s: float
    seconds: float
    lacking: tuple[tuple[int, tuple[int, ...]], ...] = field(repr=False)

    @staticmethod
    def read(path: Path) -> "StreamReport":
        return TypeAdapter(StreamReport).validate_json(path.read_bytes())

    def __str__(self) -> str:
        told = [
            f"{self.scan}: {self.complete} of {self.frames} frames are whole, {self.partial} partial, {self.missing} missing; "
            f"{self.electrons:,} electrons in {self.seconds:.1f} s"
        ]
        if self.lacking:
            more = f"; and {len(self.lacking) - 3} more, see {REPORT}" if len(self.lacking) > 3 else ""
            told.append(f"not whole: {'; '.join(self._named(*one) for one in self.lacking[:3])}{more}")
        if self.silent:
            told.append(f"fell silent: sector {', '.join(map(str, self.silent))}")
        counts = {
            "sectors came twice; the first was taken": self.duplicate,
            "sectors came late, and were left out": self.late,
            "frames were counted by two receivers; one was taken": self.twice,
            "of these differ between the two receivers": len(self.differing),
            f"messages refused: {self.refused}": sum(self.refused.values()),
        }
        told += [f"{n} {what}" for what, n in counts.items() if n]
        if self.waited_s >= 0.1:
            told.append(f"senders waited {self.waited_s:.1f} s for receivers, all together")
        return "\n".join(told)

    def _named(self, frame: int, sectors: tuple[int, ...]) -> str:
        sy, sx = divmod(frame, self.scan_shape[1])
        return f"frame {frame} (sy={sy}, sx={sx}) lacks sector {', '.join(map(str, sectors))}"


def finalise(folder: Path, plan: Plan, how: How, totals: Totals | None = None) -> tuple[StreamReport, bytes]:
    """Join what is in `folder/parts` to `folder/counted`, a zarr that `read_counted` opens, and `folder/report.json`.

    Returns the report, and the packed tally for the live view; empty where that was told before.

    Of a frame that two receivers wrote, the one with more sectors counts. What is there already is not replaced: a scan of the same
    name becomes `counted-2`, and so on. Without new parts, the last report is told again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = sorted(path for path in folder.glob(f"{COUNTED}*") if path.is_dir())
    suffix = f"-{len(before) + 1}" if before else ""
    if before and not (folder / PARTS).is_dir():
        return StreamReport.read(folder / REPORT.replace(".", f"{before[-1].name.removeprefix(COUNTED)}.")), b""
    scan, masks, report = join_parts(folder, plan, totals or Totals())
    unfinished = folder / f"unfinished-{COUNTED}"
    shutil.rmtree(unfinished, ignore_errors=True)
    write_counted(scan, unfinished)
    (folder / REPORT.replace(".", f"{suffix}.")).write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    unfinished.rename(folder / f"{COUNTED}{suffix}")
    shutil.rmtree(folder / PARTS, ignore_errors=True)  # of a scan of which nothing came there is none
    return report, Tally.of(masks, scan, how.disk).only(masks > 0).packed()


def newest_report(out: Path, since: float) -> StreamReport | None:
    """Of the scans below a folder; None where none was joined since then (POSIX seconds)."""
    found = [(path.stat().st_mtime, path) for path in out.glob("*/" + REPORT.replace(".", "*."))]
    at, path = max(found, default=(since, None))
    return StreamReport.read(path) if path and at >= since else None


def finalise_left(out: Path) -> list[StreamReport]:
    """Join the scans below a folder that nobody has joined, as their receivers or the session were lost; their reports."""
    found = [(folder.parent, read_plan(folder)) for folder in sorted(out.glob(f"*/{PARTS}")) if (folder / "plan.json").is_file()]
    return [finalise(scan, parts.plan, parts.how)[0] for scan, parts in found]


def join_parts(folder: Path, plan: Plan, totals: Totals) -> tuple[CountedScan, NDArray[np.uint8], StreamReport]:
    """The scan, the mask of sectors of each frame, and the report, from what receivers wrote."""
    masks, chosen = np.zeros(plan.frames, np.uint8), np.full(plan.frames, -1, np.int64)
    starts, counts = np.zeros(plan.frames, np.int64), np.zeros(plan.frames, np.int64)
    found: list[NDArray[np.uint32]] = []
    differing: set[int] = set()
    times: Counter[int] = Counter()
    pixels = plan.frame_shape[0] * plan.frame_shape[1]
    for path in sorted((folder / PARTS).glob(f"*{SUFFIX}")):
        for part in read_parts(path):
            if (
                part.first + len(part.masks) > plan.frames
                or part.counts.sum() != len(part.indices)
                or (part.indices >= pixels).any()
            ):
                continue
            ends = np.cumsum(part.counts, dtype=np.int64)
            found.append(part.indices)
            for k, frame in enumerate(range(part.first, part.first + len(part.masks))):
                times[frame] += 1
                start = int(ends[k] - part.counts[k])
                if chosen[frame] >= 0 and masks[frame] == part.masks[k]:
                    mine = found[chosen[frame]][starts[frame] : starts[frame] + counts[frame]]
                    if not np.array_equal(mine, part.indices[start : ends[k]]):
                        differing.add(frame)
                if chosen[frame] < 0 or int(part.masks[k]).bit_count() > int(masks[frame]).bit_count():
                    masks[frame], chosen[frame], starts[frame], counts[frame] = part.masks[k], len(found) - 1, start, part.counts[k]
    offsets = offsets_of(counts)
    pieces = [found[c][a : a + n] for c, a, n in zip(chosen, starts, counts, strict=True) if n]
    indices = np.concatenate([np.zeros(0, np.uint32), *pieces]).astype(np.uint32)
    whole = masks == (1 << plan.sectors) - 1
    scan = CountedScan(offsets, indices, plan.scan_shape, plan.frame_shape, complete=None if whole.all() else whole)
    lacking = tuple((int(k), tuple(s for s in range(plan.sectors) if not masks[k] >> s & 1)) for k in np.flatnonzero(~whole))
    report = StreamReport(
        scan=plan.scan,
        scan_shape=plan.scan_shape,
        frames=plan.frames,
        complete=int(whole.sum()),
        partial=int(((masks > 0) & ~whole).sum()),
        missing=int((masks == 0).sum()),
        electrons=scan.events,
        duplicate=totals.duplicate,
        late=totals.late,
        twice=sum(n - 1 for n in times.values()),
        differing=tuple(sorted(differing)),
        silent=totals.silent,
        refused=dict(totals.refused),
        waited_s=totals.waited_s,
        seconds=totals.seconds,
        lacking=lacking,
    )
    return scan, masks, report
