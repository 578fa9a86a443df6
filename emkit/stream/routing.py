"""The aggregator without sockets: which receiver gets which group, who has fallen silent, when a scan is over.

All sectors of a group go to one receiver: the one with the fewest groups open when the first of them came. Everything here can be
lost with the process. A new aggregator welcomes everyone; receivers drop what they have not written and tell what they have, and
senders send what nobody confirmed.
"""

import os
from collections import Counter
from collections.abc import Mapping

from emkit.errors import DataError
from emkit.stream import messages as m
from emkit.stream.assembly import check_data
from emkit.stream.plan import Plan
from emkit.stream.standing import Peer, Scan
from emkit.stream.tally import Tally

Outgoing = tuple[Peer, m.Message, bytes | memoryview]
SILENT_S = 5.0  # a sector, a receiver
MOST_SCANS = 16  # open at once
CLOSE_EVERY_S = 2.0
MOST_GROUPS = 4096  # named in a message


class Router:
    """Takes what peers say, with the time, and returns what is to be sent. `refused` counts messages by reason."""

    def __init__(self, how: m.How, silent_s: float = SILENT_S) -> None:
        self.how, self.silent_s = how, silent_s
        self.epoch = os.urandom(8).hex()
        self.scans: dict[str, Scan] = {}
        self.closed: dict[str, m.Closed] = {}
        self.views: dict[str, Scan] = {}  # those that are over, too; the newest last
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
            case m.Ready():
                return self._ready(peer, message, now)
            case m.Look():
                return [self._view(peer, message, now)]
            case m.Written() | m.Missed() | m.Here() if peer not in self.receivers:
                raise DataError("not a receiver")  # or taken for dead: it will be welcomed, and tell what it has
            case m.Written():
                return self._written(peer, message, block, now)
            case m.Missed():
                return self._missed(peer, message)
            case m.Here():
                return self._here(peer, message, block, now)
            case m.Finished():
                return self._finished(peer, message, block, now)
            case _:
                raise DataError("not for an aggregator")

    # ---- senders ----

    def _begin(self, peer: Peer, message: m.Begin, now: float) -> list[Outgoing]:
        if message.plan.scan in self.closed:
            return [(peer, self.closed[message.plan.scan], b"")]
        scan = self._known(message.plan, now)
        if message.sector >= scan.plan.sectors:
            raise DataError("beyond the scan")
        return self._heard(scan, peer, message.sector, now)

    def _known(self, plan: Plan, now: float) -> Scan:
        """The scan of this plan, which may be new."""
        if plan.scan not in self.scans:
            if len(self.scans) >= MOST_SCANS:
                raise DataError("too many scans")
            self.scans[plan.scan] = self.views[plan.scan] = Scan(plan, now)
            for old in list(self.views)[: -2 * MOST_SCANS]:
                del self.views[old]
        if self.scans[plan.scan].plan != plan:
            raise DataError("another plan of this scan")
        return self.scans[plan.scan]

    def _of(self, peer: Peer, name: str) -> Scan | list[Outgoing]:
        """The open scan of this name, or what to say to who speaks of another."""
        if name in self.scans:
            return self.scans[name]
        if name in self.closed:
            return [(peer, self.closed[name], b"")]
        self.refused["unknown scan"] += 1
        return [(peer, m.Welcome(epoch=self.epoch), b"")]

    def _heard(self, scan: Scan, peer: Peer, sector: int, now: float) -> list[Outgoing]:
        scan.senders[sector], scan.heard[sector] = peer, now
        if sector in scan.silent:
            scan.silent.discard(sector)
            return self._expect(scan, sector, True)
        return []

    def _expect(self, scan: Scan, sector: int, expected: bool) -> list[Outgoing]:
        return [(one, m.Expect(scan=scan.plan.scan, sector=sector, expected=expected), b"") for one in scan.told]

    def _pulse(self, peer: Peer, message: m.Pulse | m.End, now: float) -> list[Outgoing]:
        scan = self._of(peer, message.scan)
        if isinstance(scan, list):
            return scan
        if message.sector >= scan.plan.sectors:
            raise DataError("beyond the scan")
        scan.waited[message.sector] = message.waited_s
        if isinstance(message, m.End):
            scan.ended[message.sector] = message.parts
        return [(peer, m.Alive(), b""), *self._heard(scan, peer, message.sector, now), *self._close(scan, now)]

    def _route(self, peer: Peer, data: m.Data, block: memoryview, now: float) -> list[Outgoing]:
        scan = self._of(peer, data.scan)
        if isinstance(scan, list):
            if data.scan in self.views:
                self.views[data.scan].late += len(data.frames)
            return scan
        check_data(scan.plan, data, len(block))
        sent = self._heard(scan, peer, data.sector, now)
        if scan.is_written(data.group):
            scan.again(data)
            return [*sent, (peer, m.Confirm(scan=data.scan, group=data.group), b"")]
        if data.group not in scan.assigned:
            if not self.receivers:
                return sent  # it stays in the sender's buffer, and comes again when there is one
            scan.assigned[data.group] = min(self.receivers, key=self._load)
        receiver = scan.assigned[data.group]
        return [*sent, *self._told(scan, receiver), (receiver, data, block)]

    # ---- receivers ----

    def _load(self, receiver: Peer) -> int:
        return sum(one == receiver for scan in self.scans.values() for one in scan.assigned.values())

    def _told(self, scan: Scan, receiver: Peer) -> list[Outgoing]:
        """What a receiver must know before it gets data of a scan."""
        if receiver in scan.told:
            return []
        scan.told.add(receiver)
        gone = [(receiver, m.Expect(scan=scan.plan.scan, sector=k, expected=False), b"") for k in sorted(scan.silent)]
        return [(receiver, m.Open(plan=scan.plan, how=self.how), b""), *gone]

    def _ready(self, peer: Peer, message: m.Ready, now: float) -> list[Outgoing]:
        known = self.receivers if message.role == "receiver" else self.finalisers
        new, known[peer] = peer not in known, now
        if not new:
            return []
        sent: list[Outgoing] = [(peer, m.Welcome(epoch=self.epoch), b"")]
        if message.role == "receiver" and len(known) == 1:
            sent += self._again({name: () for name in self.scans})
        return sent

    def _written(self, peer: Peer, message: m.Written, block: memoryview, now: float) -> list[Outgoing]:
        self.receivers[peer] = now
        if (scan := self.scans.get(message.scan)) is None:
            return []
        if message.group >= scan.plan.groups:
            raise DataError("beyond the scan")
        scan.put(scan.plan.span(message.group), Tally.unpacked(block, len(scan.plan.group(message.group))), now)
        scan.of_receivers[peer] = message.duplicate, message.late, message.refused
        scan.assigned.pop(message.group, None)
        done = m.Confirm(scan=message.scan, group=message.group)
        return [*((one, done, b"") for one in scan.senders.values()), *self._close(scan, now)]

    def _missed(self, peer: Peer, message: m.Missed) -> list[Outgoing]:
        if (scan := self.scans.get(message.scan)) is None:
            return []
        scan.told.discard(peer)
        return [*self._told(scan, peer), *self._again({message.scan: scan.of(peer)})]

    def _here(self, peer: Peer, message: m.Here, block: memoryview, now: float) -> list[Outgoing]:
        if message.plan.scan in self.closed:
            return [(peer, self.closed[message.plan.scan], b"")]
        tally = Tally.unpacked(block, message.plan.frames)
        scan = self._known(message.plan, now)
        scan.put(slice(None), tally, now)
        done = [group for group in scan.assigned if scan.is_written(group)]  # which others had been asked for
        for group in done:
            del scan.assigned[group]
        return [(one, m.Confirm(scan=message.plan.scan, group=group), b"") for group in done for one in scan.senders.values()]

    def lose(self, peer: Peer) -> list[Outgoing]:
        """A peer is gone. What a receiver had not written is asked for again."""
        self.finalisers.pop(peer, None)
        if self.receivers.pop(peer, None) is None:
            return []
        asked = {}
        for name, scan in self.scans.items():
            scan.told.discard(peer)
            if groups := scan.of(peer):
                asked[name] = groups
                for group in groups:
                    del scan.assigned[group]
        return self._again(asked)

    def _again(self, asked: Mapping[str, tuple[int, ...]]) -> list[Outgoing]:
        """Ask the senders of these scans for these groups; none named: all."""
        return [
            (one, m.Again(scan=name, groups=groups[k : k + MOST_GROUPS]), b"")
            for name, groups in asked.items()
            for k in range(0, max(1, len(groups)), MOST_GROUPS)
            for one in self.scans[name].senders.values()
        ]

    # ---- time, and the end of a scan ----

    def tick(self, now: float) -> list[Outgoing]:
        """Called a few times a second: who has fallen silent, and what is to be asked again."""
        sent: list[Outgoing] = []
        for peer in [one for one, at in self.receivers.items() if now - at > self.silent_s]:
            sent += self.lose(peer)
        for scan in self.scans.values():
            for sector, at in scan.heard.items():
                if sector not in scan.ended and now - at > self.silent_s:  # told every time: the first may not have arrived
                    scan.silent.add(sector)
                    sent += self._expect(scan, sector, False)
            sent += self._close(scan, now)
        return sent

    def _close(self, scan: Scan, now: float) -> list[Outgoing]:
        """Ask the finaliser, when the scan is complete; again, when it has not answered."""
        if not scan.is_complete or not self.finalisers:
            return []
        if scan.closing is not None and now - scan.closing < CLOSE_EVERY_S:
            return []
        scan.closing = now
        close = m.Close(plan=scan.plan, how=self.how, totals=scan.totals(dict(self.refused), now))
        return [(one, close, b"") for one in list(self.finalisers)[-1:]]

    def _finished(self, peer: Peer, message: m.Finished, block: memoryview, now: float) -> list[Outgoing]:
        if peer not in self.finalisers:
            raise DataError("not a finaliser")
        if (scan := self.scans.get(message.scan)) is None or scan.closing is None:
            return []
        if block:
            scan.put(slice(None), Tally.unpacked(block, scan.plan.frames), now)
        del self.scans[message.scan]
        scan.over = now
        over = self.closed[message.scan] = m.Closed(scan=message.scan, complete=message.complete, partial=message.partial)
        return [(one, over, b"") for one in (*scan.senders.values(), *self.receivers)]

    # ---- looking ----

    def _view(self, peer: Peer, message: m.Look, now: float) -> Outgoing:
        receivers, refused = len(self.receivers), sum(self.refused.values())
        scan = self.views.get(message.scan or next(reversed(self.views), ""))
        if scan is None:
            return peer, m.View(scan=None, receivers=receivers, refused=refused, scans=tuple(self.views)), b""
        view = scan.view(self.views, receivers, refused, self.how.disk is not None, now)
        return peer, view, scan.tally.packed()
