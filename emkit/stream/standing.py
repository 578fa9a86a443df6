"""What an aggregator knows of one scan: who sends it, who is silent, who was handed what, and what is written."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from emkit.stream import messages as m
from emkit.stream.plan import Plan
from emkit.stream.tally import Tally

Peer = bytes
RATE_OVER_S = 3.0


@dataclass
class Scan:
    """A scan that is not over, or was lately. Times are the aggregator's clock."""

    plan: Plan
    began: float
    senders: dict[int, Peer] = field(default_factory=dict)  # of each sector
    heard: dict[int, float] = field(default_factory=dict)
    waited: dict[int, float] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)  # how many parts its sender had
    silent: set[int] = field(default_factory=set)
    assigned: dict[int, Peer] = field(default_factory=dict)  # groups that are not written: to whom they went
    told: set[Peer] = field(default_factory=set)  # receivers that know how to count it
    duplicate: int = 0
    late: int = 0
    of_receivers: dict[Peer, tuple[int, int, int]] = field(default_factory=dict)  # duplicate, late, refused
    closing: float | None = None  # when the finaliser was last asked
    over: float | None = None  # since when it is
    recent: deque[tuple[float, int]] = field(default_factory=deque)  # when so many frames were written
    tally: Tally = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.tally = Tally.empty(self.plan.frames)
        self.heard = dict.fromkeys(range(self.plan.sectors), self.began)

    def is_written(self, group: int) -> bool:
        return bool(self.tally.electrons[self.plan.group(group).start] >= 0)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will come of it: every sector has ended or is silent, and nothing is being written."""
        return not self.assigned and len(self.silent | self.ended.keys()) == self.plan.sectors

    def put(self, frames: slice, tally: Tally, now: float) -> None:
        self.recent.append((now, self.tally[frames].put(tally)))
        while now - self.recent[0][0] > RATE_OVER_S:
            self.recent.popleft()

    def again(self, data: m.Data) -> None:
        """Count a sector of a group that is written: as a duplicate, or as late."""
        if not data.frames or self.tally.masks[data.frames[0]] >> data.sector & 1:
            self.duplicate += len(data.frames)
        else:
            self.late += len(data.frames)

    def of(self, receiver: Peer) -> tuple[int, ...]:
        """The groups that a receiver has, and has not written."""
        return tuple(group for group, one in self.assigned.items() if one == receiver)

    def totals(self, refused: dict[str, int], now: float) -> m.Totals:
        """`refused`: messages by reason."""
        duplicate, late, no_room = self._of_receivers()
        return m.Totals(
            duplicate=self.duplicate + duplicate,
            late=self.late + late,
            refused=refused | ({"no room": no_room} if no_room else {}),
            silent=tuple(sorted(self.silent)),
            parts=tuple(self.ended.get(k) for k in range(self.plan.sectors)),
            waited_s=float(sum(self.waited.values())),
            seconds=now - self.began,
        )

    def view(self, scans: Iterable[str], receivers: int, refused: int, bright: bool, now: float) -> m.View:
        whole = int(self.tally.whole(self.plan.sectors).sum())
        duplicate, late, no_room = self._of_receivers()
        seconds = (self.over or now) - self.began
        lately = sum(n for at, n in self.recent if now - at <= RATE_OVER_S)
        return m.View(
            scan=self.plan.scan,
            receivers=receivers,
            refused=refused + no_room,
            scans=tuple(scans),
            scan_shape=self.plan.scan_shape,
            sectors=self.plan.sectors,
            bright=bright,
            frames=self.plan.frames,
            whole=whole,
            partial=int((self.tally.masks > 0).sum()) - whole,
            duplicate=self.duplicate + duplicate,
            late=self.late + late,
            lag=len(self.assigned),
            silent=tuple(sorted(self.silent)),
            rate=lately / max(min(RATE_OVER_S, seconds), 0.1),
            waited_s=float(sum(self.waited.values())),
            seconds=seconds,
            over=self.over is not None,
        )

    def _of_receivers(self) -> tuple[int, int, int]:
        """Duplicate, late and refused sectors of frames, of all receivers together."""
        duplicate, late, refused = (sum(one) for one in zip(*self.of_receivers.values(), (0, 0, 0), strict=True))
        return duplicate, late, refused
