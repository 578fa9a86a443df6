"""How fast a scan streams over the loopback of this machine, on two of its cores, beside what its memory and its sockets can do.

    python -m benchmarks.streaming [--rounds 5] [--groups 150] [--batch 16] [--json FILE]

Every way moves the same bytes, sectors of 576 x 144 px: `groups` blocks of `batch` frames for each of the four sectors.

    memcpy      numpy copies one block after the other, one thread
    socket      a plain TCP socket: sendall in one process, recv_into the same buffer in another
    push        plain ZeroMQ: PUSH in one process, PULL in another, no copy in Python, nothing looked at
    direct      our sender (one process) to our wire and messages, each block decoded, checked and confirmed; nothing assembled
    count       senders -> aggregator -> receiver that assembles, counts and writes -> finaliser, in clear
    curve       the same, encrypted

`core s/GB` is the processor's time of both ends together, which a busy machine changes less than the rate: 2 cores that do
nothing else move 2 / that at most. The ways take turns, round by round; a ratio is to that way in the same round, its middle and
its extremes. GB = 1e9 bytes. `lost` is how many blocks or frames did not come whole. About two minutes.
"""

import argparse
import json
import math
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from emkit.phantoms import ScanPhantom
from emkit.stream import messages as m
from emkit.stream.assembly import check_data
from emkit.stream.keys import Security, make_keys
from emkit.stream.local import PROCESSES, LocalStream, begin
from emkit.stream.plan import Plan
from emkit.stream.sender import run_sender
from emkit.stream.sending import Sending
from emkit.stream.sources import PhantomSource
from emkit.stream.wire import serving

SECTORS = 4
HOW = m.How(background=28, xray=344)
WINDOW = 16


def plan_of(groups: int, batch: int) -> Plan:
    return Plan(scan="bench", scan_shape=(groups, batch), frame_shape=(576, 576), sectors=SECTORS, batch=batch)


@dataclass(frozen=True)
class Took:
    """Seconds, blocks or frames that were lost, and the processor's seconds of both ends where they were measured."""

    seconds: float
    lost: int
    cpu_s: float = math.nan


def memcpy(plan: Plan) -> Took:
    blocks = np.ones((8, plan.batch * plan.part_bytes), np.uint8)
    into = np.empty_like(blocks[0])
    began, cpu = time.perf_counter(), time.process_time()
    for k in range(plan.groups * SECTORS):
        np.copyto(into, blocks[k % 8])
    return Took(time.perf_counter() - began, 0, time.process_time() - cpu)


def _send_plain(port: int, size: int, count: int, cpu: Any) -> None:
    blocks = np.ones((8, size), np.uint8)
    began = time.process_time()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for k in range(count):
            connection.sendall(blocks[k % 8])
    cpu.send(time.process_time() - began)


def plain_socket(plan: Plan) -> Took:
    here, there = PROCESSES.Pipe(duplex=False)
    size, count = plan.batch * plan.part_bytes, plan.groups * SECTORS
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = begin(_send_plain, server.getsockname()[1], size, count, there)
        connection, _ = server.accept()
        into, got = memoryview(bytearray(size)), 0
        with connection:
            began, cpu = time.perf_counter(), time.process_time()
            while found := connection.recv_into(into):
                got += found
            took = Took(time.perf_counter() - began, count - got // size, time.process_time() - cpu + here.recv())
        process.join()
    return took


def _push(address: str, size: int, count: int, cpu: Any) -> None:
    blocks = np.ones((8, size), np.uint8)
    began = time.process_time()
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.sndhwm = WINDOW
        sender.connect(address)
        for k in range(count):
            sender.send(blocks[k % 8], copy=False)
    cpu.send(time.process_time() - began)


def plain_push(plan: Plan) -> Took:
    here, there = PROCESSES.Pipe(duplex=False)
    size, count = plan.batch * plan.part_bytes, plan.groups * SECTORS
    with zmq.Context() as context, context.socket(zmq.PULL) as sink:
        sink.rcvhwm = WINDOW
        sink.bind("tcp://127.0.0.1:0")
        process = begin(_push, sink.getsockopt_string(zmq.LAST_ENDPOINT), size, count, there)
        sink.poll()
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            sink.recv(copy=False)
        took = Took(time.perf_counter() - began, 0, time.process_time() - cpu + here.recv())
    process.join()
    return took


def _send_direct(address: str, plan: Plan, cpu: Any) -> None:
    """One sender that has all groups of all sectors as its own."""
    block = np.ones((plan.batch, *plan.part_shape), np.uint16)
    began = time.process_time()
    run_sender(address, Security(None), Sending(plan, 0, lambda group: (tuple(plan.group(group)), block), WINDOW))
    cpu.send(time.process_time() - began)


def direct(plan: Plan) -> Took:
    here, there = PROCESSES.Pipe(duplex=False)
    every = plan.model_copy(update={"scan_shape": (plan.groups * SECTORS, plan.batch)})
    came: set[int] = set()
    with serving("tcp://127.0.0.1:0", Security(None)) as sink:
        process = begin(_send_direct, sink.getsockopt_string(zmq.LAST_ENDPOINT), every, there)
        began, cpu = 0.0, time.process_time()
        while len(came) < every.groups:
            peer, header, block = sink.recv_multipart(copy=False)
            heard = m.decode(header.buffer)
            if isinstance(heard, m.Data):
                began = began or time.perf_counter()
                check_data(every, heard, len(block.buffer))
                came.add(heard.group)
                sink.send_multipart([peer.bytes, m.encode(m.Confirm(scan=every.scan, group=heard.group)), b""])
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        sink.send_multipart([peer.bytes, m.encode(m.Closed(scan=every.scan, complete=0, partial=0)), b""])
        cpu += here.recv()
        process.join()
    return Took(seconds, every.groups - len(came), cpu)


def counted(plan: Plan, keys: bool) -> Took:
    """The time is the aggregator's: from the first word of a sender to the last group written."""
    source = PhantomSource(ScanPhantom(plan.scan_shape), plan.scan, plan.batch, distinct=plan.batch)
    for sector in range(SECTORS):
        source.read(sector, 0)  # the frames are made before the clock starts
    with tempfile.TemporaryDirectory() as folder:
        security = Security(Path(folder) / "keys" if keys else None)
        if security.keys:
            make_keys(security.keys, ["sender", "receiver", "finaliser"])
        stream = LocalStream(Path(folder), HOW, security=security)
        reports: list[Any] = []
        try:
            stream.begin_aggregator()
            stream.begin_receiver("receiver")
            for sector in range(SECTORS):
                stream.begin_sender(source, sector, WINDOW)
            stream.finalise(reports.append, 1)
        finally:
            stream.close()
    return Took(reports[0].seconds, plan.frames - reports[0].complete)


WAYS: dict[str, Callable[[Plan], Took]] = {
    "memcpy": memcpy,
    "socket": plain_socket,
    "push": plain_push,
    "direct": direct,
    "count": lambda plan: counted(plan, keys=False),
    "curve": lambda plan: counted(plan, keys=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    plan = plan_of(given.groups, given.batch)
    gigabytes = plan.frames * SECTORS * plan.part_bytes / 1e9
    found: dict[str, list[float]] = {way: [] for way in given.ways}
    cpu: dict[str, list[float]] = {way: [] for way in given.ways}
    lost = dict.fromkeys(given.ways, 0)
    for _ in range(given.rounds):
        for way in given.ways:
            took = WAYS[way](plan)
            found[way].append(gigabytes / took.seconds)
            cpu[way].append(took.cpu_s / gigabytes)
            lost[way] += took.lost
    print(
        f"{plan.frames} frames, {gigabytes:.2f} GB, blocks of {given.batch} frames ({given.batch * plan.part_bytes / 1e6:.1f} MB)"
    )
    rows = []
    for way, rates in found.items():
        ratios = {
            f"of {floor}": sorted(a / b for a, b in zip(rates, found[floor], strict=True))
            for floor in ("socket", "push")
            if floor in found and floor != way
        }
        core = statistics.median(cpu[way])
        told = [f"{way:8s} {statistics.median(rates):6.2f} GB/s  ({min(rates):.2f} to {max(rates):.2f})"]
        told += [f"{name} {statistics.median(one):.2f} ({one[0]:.2f} to {one[-1]:.2f})" for name, one in ratios.items()]
        told += [] if math.isnan(core) else [f"{core:.2f} core s/GB"]
        print("  ".join([*told, f"lost {lost[way]}"]))
        rows.append(
            {"way": way, "GB/s": statistics.median(rates), "lost": lost[way], "rounds": rates}
            | {name: statistics.median(one) for name, one in ratios.items()}
            | {"core s/GB": None if math.isnan(core) else core}
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    PROCESSES.set_forkserver_preload(["emkit.stream.local"])
    main()
