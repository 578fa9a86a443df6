"""The book-keeping of the cap: its laws under any order of guests coming, going and waiting."""

import itertools

from emkit_hub.dashboards.places import Full, Places
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

CAP, PER_GUEST, PATIENCE_S = 3, 2, 20.0
GUESTS = st.sampled_from("abcdef")


class Clock:
    """A clock that goes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class AnyOrder(RuleBasedStateMachine):
    """Guests open, close, wait and give up in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.places = Places(CAP, PER_GUEST, self.clock, PATIENCE_S)
        self.numbers = itertools.count()
        self.owners: dict[str, str] = {}

    @rule(guest=GUESTS)
    def open(self, guest: str) -> None:
        waiting = [name for name, turn in self.places.queue.items() if self.clock.now - turn.seen_s < PATIENCE_S]
        had_one = guest in self.owners.values()
        try:
            given_back = self.places.admit(guest)
        except Full as full:
            assert not had_one, "who holds a place can swap it"
            assert full.position > self.places.free
            assert full.position == (waiting.index(guest) if guest in waiting else len(waiting)) + 1, "the order of arrival"
            return
        assert all(self.owners[kernel] == guest for kernel in given_back), "nobody loses a place to another"
        for kernel in given_back:
            self.places.release(kernel)
            del self.owners[kernel]
        kernel = f"kernel {next(self.numbers)}"
        self.places.claim(kernel, guest, "dashboard")
        self.owners[kernel] = guest

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if self.owners:
            kernel = data.draw(st.sampled_from(sorted(self.owners)))
            self.places.release(kernel)
            del self.owners[kernel]

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_cap_holds(self) -> None:
        assert len(self.places.claims) <= CAP
        assert {kernel: claim.guest for kernel, claim in self.places.claims.items()} == self.owners
        assert all(list(self.owners.values()).count(guest) <= PER_GUEST for guest in "abcdef")


TestAnyOrder = AnyOrder.TestCase


def test_who_came_first_is_served_first_even_if_another_asks_first() -> None:
    places = Places(1, 1, Clock())
    places.admit("holder")
    places.claim("k0", "holder", "d")
    for guest in ("first", "second"):
        try:
            places.admit(guest)
        except Full:
            continue
        raise AssertionError("there is no place")
    places.release("k0")
    try:
        places.admit("second")
    except Full as full:
        assert full.position == 2
    else:
        raise AssertionError("the place is the first one's")
    assert places.admit("first") == []
