"""Who holds which kernel, and who waits: the book-keeping of the cap, without any kernel in it.

Laws (each is tested): guests' kernels never exceed the cap; one kernel has one owner for its whole life;
whoever waits is served in the order of arrival, and loses the turn only by going away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Claim:
    """A guest's hold on one kernel; times in seconds of one clock."""

    guest: str
    dashboard: str
    since_s: float
    connections: int = 0
    left_s: float | None = None  # when the last connection was closed; None before the first


@dataclass
class Waiting:
    """A guest in the queue: first and last seen, in seconds."""

    since_s: float
    seen_s: float


class Full(Exception):
    """All places are taken: `position` counts from 1, `waited_s` is how long this guest has been in the queue."""

    def __init__(self, position: int, waited_s: float) -> None:
        super().__init__(f"all places are taken; number {position} in the queue")
        self.position = position
        self.waited_s = waited_s


@dataclass
class Places:
    """`cap` places, the claims on them by kernel id, and the queue by guest."""

    cap: int
    per_guest: int
    clock: Callable[[], float]
    patience_s: float = 20.0
    claims: dict[str, Claim] = field(default_factory=dict)
    queue: dict[str, Waiting] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Places nobody holds."""
        return self.cap - len(self.claims)

    def owner(self, kernel_id: str) -> str | None:
        """The guest who holds this kernel, or None."""
        claim = self.claims.get(kernel_id)
        return claim.guest if claim else None

    def admit(self, guest: str) -> list[str]:
        """Kernels of this guest that must be given back before the next claim; raises Full when others come first."""
        now = self.clock()
        self.queue = {name: turn for name, turn in self.queue.items() if now - turn.seen_s < self.patience_s}
        own = sorted(
            (kernel for kernel, claim in self.claims.items() if claim.guest == guest),
            key=lambda kernel: self.claims[kernel].since_s,
        )
        if own and (len(own) >= self.per_guest or self.free <= len(self.queue)):
            return own[: max(1, len(own) - self.per_guest + 1)]  # a guest swaps one of their own places for the new one
        turn = self.queue.setdefault(guest, Waiting(now, now))
        turn.seen_s = now
        position = list(self.queue).index(guest) + 1
        if position > self.free:
            raise Full(position, now - turn.since_s)
        return []

    def claim(self, kernel_id: str, guest: str, dashboard: str) -> None:
        """Write down that `guest` holds the kernel; the caller has been admitted."""
        if kernel_id in self.claims or self.free <= 0:
            raise RuntimeError(
                f"kernel {kernel_id} cannot be claimed: {self.free} places are free, its owner is {self.owner(kernel_id)}"
            )
        self.queue.pop(guest, None)
        self.claims[kernel_id] = Claim(guest, dashboard, self.clock())

    def connect(self, kernel_id: str) -> None:
        """The page has a connection to its kernel."""
        if kernel_id in self.claims:
            self.claims[kernel_id].connections += 1

    def disconnect(self, kernel_id: str) -> None:
        """The page has lost a connection."""
        if kernel_id in self.claims:
            self.claims[kernel_id].connections -= 1
            self.claims[kernel_id].left_s = self.clock()

    def release(self, kernel_id: str) -> Claim | None:
        """Give the place back."""
        return self.claims.pop(kernel_id, None)
