"""What comes over the network and must not matter: connections cut in the middle of messages, hostile bytes; real processes."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
import zmq

from emkit.io.counted import read_counted
from emkit.stream.keys import Security
from emkit.stream.local import local_stream
from emkit.stream.viewing import partial_image
from emkit.stream.wire import MOST_BYTES, connected
from tests.stream.scans import same
from tests.stream.test_local import HOW, Raw, finalised, raw, source, until

__all__ = ["raw"]
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Relay:
    """Stands between an aggregator and everybody else. The first `cuts` connections end after a random number of bytes."""

    host: str
    port: int
    chance: random.Random
    cuts: int
    cut: int = 0
    own: int = 0  # its port
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, listening: threading.Event, over: asyncio.Event) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.own = server.sockets[0].getsockname()[1]
        listening.set()
        await over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, *near: *Ends) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        far = await asyncio.open_connection(self.host, self.port)
        left = [self.chance.randrange(10_000, 4_000_000)] if self.cuts > 0 else [2**62]
        self.cuts -= 1
        try:
            await asyncio.wait(
                [asyncio.create_task(self._pipe(near[0], far[1], left)), asyncio.create_task(self._pipe(far[0], near[1], left))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for writer in (near[1], far[1]):
                writer.transport.abort()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]) -> None:
        while data := await reader.read(2**16):
            writer.write(data[: left[0]])
            await writer.drain()
            left[0] -= len(data)
            if left[0] <= 0:
                self.cut += 1
                return


@contextmanager
def relayed(address: str, seed: int, cuts: int) -> Iterator[tuple[str, Relay]]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    relay = Relay(host, int(port), random.Random(seed), cuts)
    loop, listening, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(relay.serve(listening, over)))
    thread.start()
    try:
        assert listening.wait(60)
        yield f"tcp://127.0.0.1:{relay.own}", relay
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(2, 20))])
def test_connections_that_are_cut_in_the_middle_of_messages_lose_nothing(raw: Raw, tmp_path: Path, seed: int) -> None:
    with local_stream(tmp_path, HOW, receivers=0) as stream, relayed(stream.address, seed, cuts=6) as (address, relay):
        stream.address = address
        for name in ("a", "b"):
            stream.begin_receiver(name)
        for sector in range(4):
            stream.begin_sender(source(raw), sector, window=4)
        report = finalised(stream)["one"]
    assert relay.cut > 0 and report.complete == 64 and not report.lacking and not report.differing
    assert same(read_counted(tmp_path / "one" / "counted"), raw[1])


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


def peak_bytes(pid: int | None) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


BOMBS = {
    "an array of 2^32 entries, declared": b"\xdd\xff\xff\xff\xff",
    "a map of 2^32 entries, declared": b"\xdf\xff\xff\xff\xff",
    "a string of 2^32 bytes, declared": b"\xdb\xff\xff\xff\xff",
    "bytes of 2^32, declared": b"\xc6\xff\xff\xff\xff",
    "an extension, which some unpickle": b"\xc7\x04\x00cos\n",
    "a time, which is an extension too": msgpack.packb(msgpack.Timestamp(1, 2)),
    "arrays in arrays": nested(60_000),
    "maps in maps": b"\x81\xa4kind" * 10_000 + b"\xc0",
    "a key that is none": b"\x81\xc0\xc0",
    "text that is no UTF-8": b"\x81\xa4kind\xa2\xff\xfe",
    "numbers beyond 64 bits": msgpack.packb({"kind": "look", "scan": 2**64 - 1}),
    "a header of 64 MB": b"\x00" * 2**26,
    "a pickle": b"\x80\x05\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
}


def test_bombs_are_refused_one_by_one_and_the_aggregator_stays_small(raw: Raw, tmp_path: Path) -> None:
    with local_stream(tmp_path, HOW) as stream, connected(stream.address, Security(None)) as hostile:
        pid = stream.processes[0].pid
        before = peak_bytes(pid)
        for header in BOMBS.values():
            hostile.send_multipart([header, b""])
        until(lambda: partial_image(stream.address).told.refused == len(BOMBS))
        with zmq.Context() as context, context.socket(zmq.DEALER) as huge:  # its connection ends, with nothing taken
            huge.linger = 0
            huge.connect(stream.address)
            huge.send(b"x" * (MOST_BYTES + 1))
            for sector in range(4):
                stream.begin_sender(source(raw), sector)
            until(lambda: partial_image(stream.address, "one").told.whole == 64)
        assert peak_bytes(pid) - before < 2**30
