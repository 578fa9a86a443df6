"""The whole protocol on a network that loses, repeats and reorders, with peers that die: the pure classes, wired to each other."""

import json
import random
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emkit.io.counted import read_counted
from emkit.stream import messages as m
from emkit.stream.finalising import StreamReport, finalise
from emkit.stream.plan import Plan
from emkit.stream.receiving import Receiving
from emkit.stream.routing import Router
from emkit.stream.sending import Sending
from tests.stream.scans import HOW, a_plan, counted, frames_of, same

STEP_S = 0.1
END_S = 400.0  # of the simulation


@dataclass
class Network:
    """Every message in flight may be lost, repeated or overtaken. `peers` hear by their names; time is simulated."""

    folder: Path
    chance: random.Random
    loss: float = 0.0
    repeat: float = 0.0
    reorder: bool = False
    now: float = 0.0
    router: Router = field(default_factory=lambda: Router(HOW))
    receivers: dict[bytes, Receiving] = field(default_factory=dict)
    senders: dict[bytes, Sending] = field(default_factory=dict)
    reports: dict[str, StreamReport] = field(default_factory=dict)
    stopped: set[bytes] = field(default_factory=set)
    flying: list[tuple[bytes, bytes, bytes, bytes]] = field(default_factory=list)  # from, to (empty: aggregator), header, block

    def send(self, origin: bytes, to: bytes, message: m.Message, block: object = b"") -> None:
        for _ in range((self.chance.random() >= self.loss) + (self.chance.random() < self.repeat)):
            self.flying.append((origin, to, m.encode(message), bytes(block)))  # type: ignore[call-overload]

    def add_receiver(self, name: str) -> None:
        self.receivers[name.encode()] = Receiving(self.folder, name, flush_ticks=400)

    def add_senders(self, plan: Plan, frames: NDArray[np.uint16], lost: AbstractSet[tuple[int, int]] = frozenset()) -> None:
        def reader(sector: int) -> Callable[[int], tuple[tuple[int, ...], NDArray[np.uint16]]]:
            def read(group: int) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
                there = tuple(k for k in plan.group(group) if (k, sector) not in lost)
                return there, np.ascontiguousarray(frames[list(there)][(slice(None), *plan.window(sector))])

            return read

        for sector in range(plan.sectors):
            self.senders[f"{plan.scan}-{sector}".encode()] = Sending(plan, sector, reader(sector), window=3, again_s=2.0)

    def step(self) -> None:
        self.now += STEP_S
        for name, sender in self.senders.items():
            if name not in self.stopped:
                for message, block in sender.say(self.now):
                    self.send(name, b"", message, b"" if block is None else block.tobytes())
        if round(self.now / STEP_S) % 5 == 0:
            for name, receiver in self.receivers.items():
                for said, there in receiver.tick():
                    self.send(name, b"", said, there)
            self.send(b"finaliser", b"", m.Ready(role="finaliser", name="finaliser"))
            for peer, message, out in self.router.tick(self.now):
                self.send(b"", peer, message, out)
        flying, self.flying = self.flying, []
        if self.reorder:
            self.chance.shuffle(flying)
        for one in flying:
            self.deliver(*one)

    def deliver(self, origin: bytes, to: bytes, header: bytes, block: bytes) -> None:
        if not to:
            for peer, message, out in self.router.hear(origin, [memoryview(header), memoryview(block)], self.now):
                self.send(b"", peer, message, out)
        elif to in self.receivers:
            for said, there in self.receivers[to].hear(m.decode(header), memoryview(block)):
                self.send(to, b"", said, there)
        elif to in self.senders and to not in self.stopped:
            self.senders[to].hear(m.decode(header))
        elif to == b"finaliser" and isinstance(close := m.decode(header), m.Close):
            report, there = finalise(self.folder / close.plan.scan, close.plan, close.how, close.totals)
            self.reports.setdefault(close.plan.scan, report)
            self.send(to, b"", m.Finished(scan=close.plan.scan, complete=report.complete, partial=report.partial), there)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Until every sender that runs knows that its scan is over."""
        until = until or (lambda: all(one.closed for name, one in self.senders.items() if name not in self.stopped))
        while not until():
            self.step()
            assert self.now < END_S, (self.router.scans, self.router.refused)

    def kill(self, name: str) -> None:
        """As kill -9: what it had not written is gone, its connections too."""
        self.receivers.pop(name.encode()).close()
        for peer, message, out in self.router.lose(name.encode()):
            self.send(b"", peer, message, out)

    def close(self) -> None:
        for receiver in self.receivers.values():
            receiver.close()

    def restart_aggregator(self) -> None:
        self.router = Router(HOW)
        self.flying = []


class Begin(Protocol):
    def __call__(self, seed: int, loss: float = 0.0, repeat: float = 0.0, reorder: bool = False) -> Network: ...


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Networks whose receivers write below tmp_path."""
    with ExitStack() as stack:

        def begun(seed: int, loss: float = 0.0, repeat: float = 0.0, reorder: bool = False) -> Network:
            return stack.enter_context(closing(Network(tmp_path, random.Random(seed), loss, repeat, reorder)))

        yield begun


def through(
    network: Network, plan: Plan, frames: NDArray[np.uint16], lost: AbstractSet[tuple[int, int]] = frozenset()
) -> StreamReport:
    """What is counted equals the files', event for event, and the report names what they lack."""
    report = network.reports[plan.scan]
    found = read_counted(network.folder / plan.scan / "counted")
    assert same(found, counted(plan, frames, lost))
    lacking = {(k, s) for k, sectors in report.lacking for s in sectors}
    assert lacking == lost and report.complete == plan.frames - len({k for k, _ in lost})
    assert (found.complete is None) == (not lost) and report.differing == ()
    return report


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.3]),
    st.booleans(),
    st.sets(st.tuples(st.integers(0, 14), st.integers(0, 3)), max_size=4),
    st.lists(st.tuples(st.integers(3, 60), st.sampled_from(["kill", "aggregator", "stop"])), max_size=3),
)
def test_the_counted_scan_equals_the_files(
    seed: int, loss: float, repeat: float, reorder: bool, lost: set[tuple[int, int]], faults: list[tuple[int, str]]
) -> None:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        network = stack.enter_context(closing(Network(Path(folder), random.Random(seed), loss, repeat, reorder)))
        plan = a_plan()
        frames = frames_of(plan, seed)
        network.add_receiver("r0")
        network.add_receiver("r1")
        network.add_senders(plan, frames, lost)
        for k, (at, fault) in enumerate(sorted(faults)):
            network.run(lambda at=at: network.now >= at * STEP_S)  # type: ignore[misc]
            if fault == "aggregator":
                network.restart_aggregator()
            elif fault == "kill":
                network.kill(next(iter(network.receivers)).decode())
                network.add_receiver(f"new{k}")
            else:  # taken for dead, and comes back
                for peer, message, out in network.router.lose(next(iter(network.receivers))):
                    network.send(b"", peer, message, out)
        network.run()
        if loss == 0 and not faults:
            assert network.reports["a"].late == 0
        if loss < 0.3:
            through(network, plan, frames, lost)
        else:  # a group may be given up before the last of its sectors came; then it is named
            found = read_counted(network.folder / "a" / "counted")
            named = {(k, s) for k, sectors in network.reports["a"].lacking for s in sectors}
            assert named >= lost and same(found, counted(plan, frames, named))


def test_scan_after_scan(tmp_path: Path, begin: Begin) -> None:
    network = begin(1, loss=0.1, repeat=0.1, reorder=True)
    network.add_receiver("r0")
    network.add_receiver("r1")
    plans = [a_plan(name, batch=batch) for name, batch in (("a", 2), ("b", 3), ("c", 1))]
    for k, plan in enumerate(plans):
        network.add_senders(plan, frames_of(plan, k))
    network.run()
    for k, plan in enumerate(plans):
        through(network, plan, frames_of(plan, k))


def test_a_sender_that_stalls_is_given_up_and_named(tmp_path: Path, begin: Begin) -> None:
    network = begin(2)
    plan = a_plan()
    frames = frames_of(plan)
    network.add_receiver("r0")
    network.add_senders(plan, frames)
    network.run(lambda: network.router.scans != {} and bool((network.router.scans["a"].tally.electrons >= 0).sum() > 3))
    network.stopped.add(b"a-2")
    network.run()
    report = network.reports["a"]
    named = {(k, s) for k, sectors in report.lacking for s in sectors}
    assert report.silent == (2,) and {s for _, s in named} == {2} and 0 < len(named) < plan.frames
    assert same(read_counted(tmp_path / "a" / "counted"), counted(plan, frames, named))
    assert "fell silent: sector 2" in str(report) and json.loads((tmp_path / "a" / "report.json").read_text())["partial"] == len(
        named
    )
    network.stopped.clear()  # and when it comes back, it is told that the scan is over
    network.run()


def test_a_sender_that_never_came(tmp_path: Path, begin: Begin) -> None:
    network = begin(3)
    plan = a_plan()
    network.add_receiver("r0")
    network.add_senders(plan, frames_of(plan))
    del network.senders[b"a-0"]
    network.run()
    through(network, plan, frames_of(plan), {(k, 0) for k in range(plan.frames)})


def test_without_receivers_the_senders_wait_and_lose_nothing(tmp_path: Path, begin: Begin) -> None:
    network = begin(4)
    plan = a_plan()
    network.add_senders(plan, frames_of(plan))
    network.run(lambda: network.now > 20)
    assert network.router.scans["a"].waited[0] > 15
    network.add_receiver("r0")
    network.run()
    assert through(network, plan, frames_of(plan)).waited_s > 60


def test_the_same_name_again_replaces_nothing(tmp_path: Path, begin: Begin) -> None:
    first = begin(5)
    plan = a_plan()
    for seed in (0, 1):
        network = first if seed == 0 else begin(6)
        network.add_receiver("r0")
        network.add_senders(plan, frames_of(plan, seed))
        network.run()
    assert same(read_counted(tmp_path / "a" / "counted"), counted(plan, frames_of(plan, 0)))
    assert same(read_counted(tmp_path / "a" / "counted-2"), counted(plan, frames_of(plan, 1)))


HOSTILE = [
    b"", b"\xc1", b"\xff" * 100, b"\x80" * 100, msgpack.packb(None), msgpack.packb([1]), msgpack.packb({"kind": []}),
    msgpack.packb({"kind": "data", "scan": "../../x", "sector": 0, "group": 0, "frames": (0, 1)}),
    msgpack.packb({"kind": "data", "scan": "a", "sector": "0", "group": 0, "frames": (0, 1)}),
    msgpack.packb({"kind": "data", "scan": "a", "sector": 0, "group": -1, "frames": (0, 1)}),
    msgpack.packb({"kind": "data", "scan": "a", "sector": 0, "group": 2**60, "frames": (0, 1)}),
    msgpack.packb({"kind": "data", "scan": "a", "sector": 0, "group": 0, "frames": tuple(range(65))}),
    msgpack.packb({"kind": "data", "scan": "a", "sector": 0, "group": 0, "frames": (0, 1), "more": 1}),
    msgpack.packb({"kind": "begin", "sector": 0, "plan": {"scan": "x", "scan_shape": (65536, 65536), "frame_shape": (8, 8)}}),
    msgpack.packb({"kind": "begin", "sector": 0, "plan": {"scan": "x", "scan_shape": (2, 2), "frame_shape": (9, 9)}}),
    msgpack.packb({"kind": "confirm", "scan": "a", "group": 0}),
    msgpack.packb("x" * 70000),
    m.encode(m.Data(scan="unknown", sector=0, group=0, frames=(0, 1))),
    m.encode(m.Written(scan="a", group=0, duplicate=0, late=0, refused=0)),
    m.encode(m.Finished(scan="a", complete=0, partial=0)),
    m.encode(m.Here(plan=a_plan())),
    m.encode(m.Begin(plan=a_plan(batch=3), sector=0)),
    b"\x81" * 5000,
    b"cos\nsystem\n(S'true'\ntR.",
]  # fmt: skip


@pytest.mark.parametrize("block", [b"", b"x" * 64, b"x" * 10**6])
def test_hostile_messages_are_refused_and_counted(tmp_path: Path, begin: Begin, block: bytes) -> None:
    network = begin(7)
    plan = a_plan()
    network.add_receiver("r0")
    network.add_senders(plan, frames_of(plan))
    network.run(lambda: "a" in network.router.scans)
    for header in HOSTILE:
        network.deliver(b"stranger", b"", header, block)
    for parts in ([], [b"x"], [b"x"] * 3):
        network.router.hear(b"stranger", [memoryview(part) for part in parts], network.now)
    refused = sum(network.router.refused.values())
    assert refused == len(HOSTILE) + 3
    network.run()
    assert sum(through(network, plan, frames_of(plan)).refused.values()) >= refused


@given(st.binary(max_size=200), st.binary(max_size=80))
def test_no_bytes_end_an_aggregator(header: bytes, block: bytes) -> None:
    router = Router(HOW)
    router.hear(b"peer", [memoryview(header), memoryview(block)], 0.0)
    router.tick(1.0)
