"""`emkit stream …`: the parts of a live scan, each a process of its own, and a terminal to watch it."""

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emkit.cli import sessions
from emkit.cli.sessions import add_how, add_keys, how_of, security_of
from emkit.errors import EmkitError, ParameterError

if TYPE_CHECKING:
    from emkit.stream.sources import Source

    Subcommands = argparse._SubParsersAction[Any]


def add(commands: "Subcommands") -> None:
    parser = commands.add_parser(
        "stream",
        help="Count a scan while it is recorded.",
        description="Send, route, receive, count and watch live scans. Only the aggregator listens; all others connect to it.",
    )
    words = parser.add_subparsers(metavar="WORD", required=True)

    keys = words.add_parser("keys", help="make the keys of those who may take part", description="Make Curve keys, mode 0600.")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    keys.add_argument("names", nargs="*", metavar="NAME", help="clients that are let in, as: sender receiver finaliser watcher")
    keys.set_defaults(run=make)

    aggregate = words.add_parser("aggregate", help="route the frames of all sectors to receivers")
    aggregate.add_argument("address", metavar="ADDRESS", help="tcp://HOST:PORT to listen on; port 0: a free one")
    add_how(aggregate)
    aggregate.add_argument(
        "--silent-s",
        type=float,
        default=5.0,
        metavar="S",
        help="a sector of which nothing is heard for so long is given up (default: 5)",
    )
    _idle(aggregate)
    add_keys(aggregate, "aggregator")
    aggregate.set_defaults(run=aggregating)

    receive = words.add_parser("receive", help="assemble, count and write frames")
    _client(receive, "receiver")
    receive.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="a folder that all receivers and the finaliser share"
    )
    receive.add_argument("--dark", type=Path, metavar="FILE.npy", help="the dark reference")
    receive.add_argument("--processes", type=int, default=1, metavar="N", help="receivers, a process each (default: 1)")
    receive.add_argument("--name", default=f"receiver-{os.getpid()}", metavar="NAME", help="begins the names of its files")
    _idle(receive)
    receive.set_defaults(run=receiving)

    finalise = words.add_parser("finalise", help="join what receivers wrote, scan by scan")
    _client(finalise, "finaliser")
    finalise.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="the folder of the receivers")
    finalise.add_argument("--scans", type=int, metavar="N", help="end after so many")
    finalise.set_defaults(run=finalising)

    send = words.add_parser("send", help="send raw files, or a phantom")
    _source(send)
    _client(send, "sender")
    send.add_argument("--sector", type=int, default=None, metavar="K", help="this sector alone; left out: all, a process each")
    send.set_defaults(run=sending)

    local = words.add_parser("local", help="all of it on this machine: to try, or to count files this way")
    _source(local)
    local.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER")
    local.add_argument("--receivers", type=int, default=1, metavar="N", help="processes that count (default: 1)")
    local.add_argument("--dark", type=Path, metavar="FILE.npy", help="the dark reference")
    add_how(local)
    local.set_defaults(run=here)

    sessions.add(words)


def _idle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--idle-s", type=float, default=float("inf"), metavar="S", help="end after so long without a scan (default: never)"
    )


def _client(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="of the aggregator")
    add_keys(parser, name)


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FOLDER", help="of raw files, version 3, 4 or 5")
    parser.add_argument(
        "--scan", default=f"scan-{datetime.now():%Y%m%d-%H%M%S}", metavar="NAME", help="what it is called (default: the time)"
    )
    parser.add_argument("--rate", type=float, metavar="N", help="frames per second (default: as fast as it goes)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="frames in a message, 1 to 64 (default: 16)")
    parser.add_argument("--window", type=int, default=16, metavar="N", help="messages that may be unconfirmed (default: 16)")


def make(given: argparse.Namespace) -> int:
    from emkit.stream.keys import make_keys

    for path in make_keys(given.folder, given.names):
        print(path)
    return 0


def aggregating(given: argparse.Namespace) -> int:
    from emkit.stream.aggregator import Aggregator
    from emkit.stream.routing import Router

    router = Router(how_of(given), given.silent_s)

    def tell(address: str) -> None:
        print(f"listening on {address}", flush=True)

    Aggregator(given.address, security_of(given), router, tell, idle_s=given.idle_s).run()
    return 0


def receiving(given: argparse.Namespace) -> int:
    from emkit.stream.local import receive_all

    receive_all(given.address, security_of(given), given.out, given.name, _dark(given.dark), given.idle_s, given.processes)
    return 0


def finalising(given: argparse.Namespace) -> int:
    from emkit.stream.receiver import run_finaliser

    run_finaliser(given.address, security_of(given), given.out, lambda report: print(report, flush=True), scans=given.scans)
    return 0


def sending(given: argparse.Namespace) -> int:
    from emkit.stream.local import send_all
    from emkit.stream.sender import run_sender
    from emkit.stream.sending import Sending

    security, source = security_of(given), _open(given)
    if given.sector is not None:
        if not 0 <= given.sector < source.plan.sectors:
            raise ParameterError(f"--sector: found {given.sector}, needed 0 to {source.plan.sectors - 1}.")
        closed = run_sender(
            given.address,
            security,
            Sending(source.plan, given.sector, lambda k: source.read(given.sector, k), given.window, given.rate),
        )
        assert closed  # nobody ends it
        print(f"{closed.scan}: {closed.complete} of {source.plan.frames} frames are whole, {closed.partial} partial")
        return 0
    send_all(given.address, security, source, given.window, given.rate)
    return 0


def here(given: argparse.Namespace) -> int:
    from emkit.stream.finalising import COUNTED
    from emkit.stream.local import local_stream

    source = _open(given)
    with local_stream(given.out, how_of(given), given.receivers, dark=_dark(given.dark)) as stream:
        for sector in range(source.plan.sectors):
            stream.begin_sender(source, sector, given.window, given.rate)
        stream.finalise(print, scans=1)
    print(f"Written: {given.out / source.plan.scan / COUNTED}")
    return 0


def _open(given: argparse.Namespace) -> "Source":
    from pydantic import ValidationError

    from emkit.io.sectors import open_sectors
    from emkit.stream.sources import RawSource

    try:
        return RawSource(open_sectors(given.source), given.scan, given.batch)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise ParameterError(
            f"--{first['loc'][0]}: found {first['input']!r}; {first['msg']}." if first["loc"] else first["msg"]
        ) from None


def _dark(file: Path | None) -> Any:
    import numpy as np

    if file is None:
        return None
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError) as wrong:
        raise EmkitError(f"--dark: {file} cannot be read as .npy ({wrong}).") from None
