"""The aggregator without sockets: which receiver gets which group, who is silent, what is written, when a scan is over.

All sectors of a group go to one receiver: the one with the fewest groups open when the first of them came. Everything here can be
lost with the process. A new aggregator welcomes everyone; receivers drop what they have not written and tell what they have, and
senders send what nobody confirmed.
"""

import os
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError
from emkit.model import Thresholds
from emkit.stream import messages as m
from emkit.stream.assembly import check_data
from emkit.stream.parts import unpacked

Peer = bytes
Outgoing = tuple[Peer, m.Message, bytes | memoryview]
SILENT_S = 5.0  # a sector, a receiver
MOST_SCANS = 16  # open at once
CLOSE_EVERY_S = 2.0
RATE_OVER_S = 3.0


@dataclass
class Scan:
    """What the aggregator knows of a scan that is not over."""

    plan: m.Plan
    began: float
    senders: dict[int, Peer] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)
    waited: dict[int, float] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    assigned: dict[int, Peer] = field(default_factory=dict)
    told: set[Peer] = field(default_factory=set)
    duplicate: int = 0
    late: int = 0
    of_receivers: dict[Peer, tuple[int, int, int]] = field(default_factory=dict)
    closing: float | None = None  # when the finaliser was last asked
    over: bool = False
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.masks = np.zeros(self.plan.frames, np.uint8)
        self.electrons = np.full(self.plan.frames, -1, np.int32)

    def is_done(self, group: int) -> bool:
        return bool(self.electrons[self.plan.group(group).start] >= 0)


class Router:
    """Takes what peers say, with the time, and returns what is to be sent. `refused` counts messages by reason."""

    def __init__(self, thresholds: Thresholds, ties: m.Ties = "keep", silent_s: float = SILENT_S) -> None:
        self.thresholds, self.ties, self.silent_s = thresholds, ties, silent_s
        self.epoch = os.urandom(8).hex()
        self.scans: dict[str, Scan] = {}
        self.closed: dict[str, m.Closed] = {}
        self.views: dict[str, Scan] = {}
        self.receivers: dict[Peer, float] = {}
        self.finalisers: dict[Peer, float] = {}
        self.refused: Counter[str] = Counter()

    # ---- what peers say ----

    def hear(self, peer: Peer, parts: list[memoryview], now: float) -> list[Outgoing]:
        """One message, as it came: header and block. What is not in order is counted and has no other effect."""
        try:
            if len(parts) != 2:
                raise DataError("not two parts")
            return self._take(peer, m.decode(parts[0]), parts[1], now)
        except DataError as wrong:
            self.refused[str(wrong)] += 1
            return []

    def _take(self, peer: Peer, message: m.Message, block: memoryview, now: float) -> list[Outgoing]:
        match message:
            case m.Data():
                return self._route(peer, message, block, now)
            case m.Begin():
                return self._begin(peer, message, now)
            case m.Pulse() | m.End():
                return self._pulse(peer, message, now)
            case m.Written():
                return self._written(peer, message, now)
            case m.Ready():
                return self._ready(peer, message, now)
            case m.Missed():
                return self._missed(peer, message)
            case m.Here():
                return self._here(peer, message, block, now)
            case m.Finished():
                return self._finished(peer, message, block, now)
            case m.Look():
                return [self._view(peer, message, now)]
            case _:
                raise DataError("not for an aggregator")

    def _begin(self, peer: Peer, message: m.Begin, now: float) -> list[Outgoing]:
        plan = message.plan
        if plan.scan in self.closed:
            return [(peer, self.closed[plan.scan], b"")]
        scan = self._known(plan, now)
        if message.sector >= plan.sectors:
            raise DataError("beyond the scan")
        return self._heard(scan, peer, message.sector, now)

    def _known(self, plan: m.Plan, now: float) -> Scan:
        """The scan of this plan, which may be new."""
        if plan.scan not in self.scans:
            if len(self.scans) >= MOST_SCANS:
                raise DataError("too many scans")
            self.scans[plan.scan] = self.views[plan.scan] = Scan(plan, now, heard=dict.fromkeys(range(plan.sectors), now))
            for old in list(self.views)[: -2 * MOST_SCANS]:
                del self.views[old]
        if self.scans[plan.scan].plan != plan:
            raise DataError("another plan of this scan")
        return self.scans[plan.scan]

    def _heard(self, scan: Scan, peer: Peer, sector: int, now: float) -> list[Outgoing]:
        scan.senders[sector], scan.heard[sector] = peer, now
        if sector in scan.silent:
            scan.silent.discard(sector)
            return [(one, m.Expect(scan=scan.plan.scan, sector=sector, expected=True), b"") for one in scan.told]
        return []

    def _of(self, peer: Peer, name: str) -> Scan | list[Outgoing]:
        """The open scan of this name, or what to say to who speaks of another."""
        if name in self.scans:
            return self.scans[name]
        if name in self.closed:
            return [(peer, self.closed[name], b"")]
        self.refused["unknown scan"] += 1
        return [(peer, m.Welcome(epoch=self.epoch), b"")]

    def _route(self, peer: Peer, data: m.Data, block: memoryview, now: float) -> list[Outgoing]:
        scan = self._of(peer, data.scan)
        if isinstance(scan, list):
            if data.scan in self.views:
                self.views[data.scan].late += len(data.frames)
            return scan
        check_data(scan.plan, data, len(block))
        sent = self._heard(scan, peer, data.sector, now)
        if scan.is_done(data.group):
            was_there = not data.frames or bool(scan.masks[data.frames[0]] >> data.sector & 1)
            scan.duplicate, scan.late = (
                scan.duplicate + len(data.frames) * was_there,
                scan.late + len(data.frames) * (not was_there),
            )
            return [*sent, (peer, m.Confirm(scan=data.scan, group=data.group), b"")]
        if data.group not in scan.assigned:
            if not self.receivers:
                return sent  # it stays in the sender's buffer, and comes again when there is one
            scan.assigned[data.group] = min(self.receivers, key=self._load)
        receiver = scan.assigned[data.group]
        return [*sent, *self._told(scan, receiver), (receiver, data, block)]

    def _load(self, receiver: Peer) -> int:
        return sum(one == receiver for scan in self.scans.values() for one in scan.assigned.values())

    def _told(self, scan: Scan, receiver: Peer) -> list[Outgoing]:
        if receiver in scan.told:
            return []
        scan.told.add(receiver)
        how = m.Open(plan=scan.plan, background=float(self.thresholds.background), xray=float(self.thresholds.xray), ties=self.ties)
        gone = [(receiver, m.Expect(scan=scan.plan.scan, sector=k, expected=False), b"") for k in sorted(scan.silent)]
        return [(receiver, how, b""), *gone]

    def _pulse(self, peer: Peer, message: m.Pulse | m.End, now: float) -> list[Outgoing]:
        scan = self._of(peer, message.scan)
        if isinstance(scan, list):
            return scan
        if message.sector >= scan.plan.sectors:
            raise DataError("beyond the scan")
        scan.waited[message.sector] = message.waited_s
        if isinstance(message, m.End):
            scan.ended[message.sector] = message.parts
        return [*self._heard(scan, peer, message.sector, now), *self._close(scan, now)]

    def _written(self, peer: Peer, message: m.Written, now: float) -> list[Outgoing]:
        if peer not in self.receivers:  # taken for dead: it will be welcomed, and tell what it has
            raise DataError("not a receiver")
        self.receivers[peer] = now
        if (scan := self.scans.get(message.scan)) is None:
            return []
        plan = scan.plan
        if message.group >= plan.groups or not len(message.masks) == len(message.electrons) == len(plan.group(message.group)):
            raise DataError("beyond the scan")
        scan.of_receivers[peer] = message.duplicate, message.late, message.refused
        self._put(scan, plan.group(message.group), np.array(message.masks, np.uint8), np.array(message.electrons, np.int32), now)
        scan.assigned.pop(message.group, None)
        done = m.Confirm(scan=message.scan, group=message.group)
        return [*((one, done, b"") for one in scan.senders.values()), *self._close(scan, now)]

    def _put(self, scan: Scan, frames: range, masks: NDArray[np.uint8], electrons: NDArray[np.int32], now: float) -> None:
        """Keep of each frame what is more whole."""
        part = slice(frames.start, frames.stop)
        old, new = scan.masks[part], np.bitwise_count(masks)
        better = (electrons >= 0) & ((scan.electrons[part] < 0) | (new > np.bitwise_count(old)))
        scan.masks[part][better], scan.electrons[part][better] = masks[better], electrons[better]
        scan.recent.append((now, int(better.sum())))
        while now - scan.recent[0][0] > RATE_OVER_S:
            scan.recent.popleft()

    def _ready(self, peer: Peer, message: m.Ready, now: float) -> list[Outgoing]:
        known = self.receivers if message.role == "receiver" else self.finalisers
        new, known[peer] = peer not in known, now
        if not new:
            return []
        sent: list[Outgoing] = [(peer, m.Welcome(epoch=self.epoch), b"")]
        if message.role == "receiver" and len(known) == 1:
            sent += self._again({name: () for name in self.scans})
        return sent

    def _missed(self, peer: Peer, message: m.Missed) -> list[Outgoing]:
        if peer not in self.receivers or (scan := self.scans.get(message.scan)) is None:
            return []
        scan.told.discard(peer)
        return [*self._told(scan, peer), *self._again({message.scan: tuple(g for g, one in scan.assigned.items() if one == peer)})]

    def _here(self, peer: Peer, message: m.Here, block: memoryview, now: float) -> list[Outgoing]:
        if peer not in self.receivers:
            raise DataError("not a receiver")
        if message.plan.scan in self.closed:
            return [(peer, self.closed[message.plan.scan], b"")]
        frames = message.plan.frames
        if len(block) != 5 * frames:
            raise DataError("wrong size")
        scan = self._known(message.plan, now)
        self._put(scan, range(frames), *unpacked(block), now)
        done = [group for group in scan.assigned if scan.is_done(group)]  # which others had been asked for
        for group in done:
            del scan.assigned[group]
        return [(one, m.Confirm(scan=message.plan.scan, group=group), b"") for group in done for one in scan.senders.values()]

    def _finished(self, peer: Peer, message: m.Finished, block: memoryview, now: float) -> list[Outgoing]:
        if peer not in self.finalisers:
            raise DataError("not a finaliser")
        if (scan := self.scans.get(message.scan)) is None or scan.closing is None:
            return []
        frames = scan.plan.frames
        if len(block) == 5 * frames:
            self._put(scan, range(frames), *unpacked(block), now)
        del self.scans[message.scan]
        scan.over = True
        over = self.closed[message.scan] = m.Closed(scan=message.scan, complete=message.complete, partial=message.partial)
        return [(one, over, b"") for one in (*scan.senders.values(), *self.receivers)]

    # ---- time ----

    def tick(self, now: float) -> list[Outgoing]:
        """Called a few times a second: who has fallen silent, and what is to be asked again."""
        sent: list[Outgoing] = []
        for peer in [one for one, at in self.receivers.items() if now - at > self.silent_s]:
            sent += self.lose(peer)
        for scan in self.scans.values():
            for sector, at in scan.heard.items():
                if sector not in scan.ended and now - at > self.silent_s:  # told every time: the first may not have arrived
                    scan.silent.add(sector)
                    sent += [(one, m.Expect(scan=scan.plan.scan, sector=sector, expected=False), b"") for one in scan.told]
            sent += self._close(scan, now)
        return sent

    def lose(self, peer: Peer) -> list[Outgoing]:
        """A peer is gone. What a receiver had not written is asked for again."""
        self.finalisers.pop(peer, None)
        if self.receivers.pop(peer, None) is None:
            return []
        asked = {}
        for name, scan in self.scans.items():
            scan.told.discard(peer)
            if groups := [group for group, one in scan.assigned.items() if one == peer]:
                asked[name] = tuple(groups)
                for group in groups:
                    del scan.assigned[group]
        return self._again(asked)

    def _again(self, asked: dict[str, tuple[int, ...]]) -> list[Outgoing]:
        return [
            (one, m.Again(scan=name, groups=groups[k : k + 4096]), b"")
            for name, groups in asked.items()
            for k in range(0, max(1, len(groups)), 4096)
            for one in self.scans[name].senders.values()
        ]

    def _close(self, scan: Scan, now: float) -> list[Outgoing]:
        """Ask the finaliser, when every sector has ended or is silent, and nothing is being written."""
        if scan.assigned or len(scan.silent | scan.ended.keys()) < scan.plan.sectors or not self.finalisers:
            return []
        if scan.closing is not None and now - scan.closing < CLOSE_EVERY_S:
            return []
        scan.closing = now
        duplicate, late, refused = (sum(one) for one in zip(*scan.of_receivers.values(), (0, 0, 0), strict=True))
        reasons = dict(self.refused) | ({"no room": refused} if refused else {})
        totals = m.Totals(
            duplicate=scan.duplicate + duplicate, late=scan.late + late, refused=reasons,
            silent=tuple(sorted(scan.silent)), parts=tuple(scan.ended.get(k) for k in range(scan.plan.sectors)),
            waited_s=float(sum(scan.waited.values())), seconds=now - scan.began,
        )  # fmt: skip
        return [(one, m.Close(plan=scan.plan, totals=totals), b"") for one in list(self.finalisers)[-1:]]

    # ---- looking ----

    def _view(self, peer: Peer, message: m.Look, now: float) -> Outgoing:
        name = message.scan or next(reversed(self.views), None)
        receivers, refused = len(self.receivers), sum(self.refused.values())
        if name is None or name not in self.views:
            return peer, m.View(scan=None, receivers=receivers, refused=refused), b""
        scan = self.views[name]
        there = scan.electrons >= 0
        whole = int((there & (scan.masks == (1 << scan.plan.sectors) - 1)).sum())
        view = m.View(
            scan=name,
            receivers=receivers,
            refused=refused,
            scan_shape=scan.plan.scan_shape,
            frames=scan.plan.frames,
            whole=whole,
            partial=int(there.sum()) - whole,
            lag=len(scan.assigned),
            silent=tuple(sorted(scan.silent)),
            rate=sum(n for at, n in scan.recent if now - at <= RATE_OVER_S) / max(min(RATE_OVER_S, now - scan.began), 0.1),
            waited_s=float(sum(scan.waited.values())),
            over=scan.over,
        )
        return peer, view, np.maximum(scan.electrons, 0).astype("<u4").tobytes()
