"""`emkit stream …`: the parts of a live scan, each a process of its own, and a terminal to watch it."""

import argparse
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emkit.errors import EmkitError, ParameterError

if TYPE_CHECKING:
    from emkit.stream.keys import Security
    from emkit.stream.messages import How
    from emkit.stream.sources import Source

    Subcommands = argparse._SubParsersAction[Any]

LOOK_EVERY_S = 1.0
SHADES = " .:-=+*#%@"


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
    _thresholds(aggregate)
    aggregate.add_argument(
        "--silent-s",
        type=float,
        default=5.0,
        metavar="S",
        help="a sector of which nothing is heard for so long is given up (default: 5)",
    )
    _idle(aggregate)
    _keys(aggregate, "aggregator")
    aggregate.set_defaults(run=aggregating)

    receive = words.add_parser("receive", help="assemble, count and write frames")
    _client(receive, "receiver")
    receive.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="a folder that all receivers and the finaliser share"
    )
    receive.add_argument("--dark", type=Path, metavar="FILE.npy", help="the dark reference")
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
    _thresholds(local)
    local.set_defaults(run=here)

    watch = words.add_parser("watch", help="show how far the newest scan is")
    watch.add_argument("address", metavar="ADDRESS", help="of the aggregator")
    watch.add_argument("--scan", metavar="NAME", help="this scan")
    watch.add_argument("--once", action="store_true", help="show it once")
    _keys(watch, "watcher")
    watch.set_defaults(run=watching)


def _thresholds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--background", type=float, required=True, metavar="ADU", help="pixels at or below are noise")
    parser.add_argument("--xray", type=float, required=True, metavar="ADU", help="pixels at or above are X-rays")
    parser.add_argument(
        "--ties", choices=("keep", "drop"), default="keep", help="of equal neighbours keep one, or none (default: keep)"
    )

    parser.add_argument(
        "--disk", type=float, nargs=3, metavar=("KY", "KX", "RADIUS"), help="the bright field on the detector, px, to watch it live"
    )


def _idle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--idle-s", type=float, default=float("inf"), metavar="S", help="end after so long without a scan (default: never)"
    )


def _client(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="of the aggregator")
    _keys(parser, name)


def _keys(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--keys", type=Path, metavar="FOLDER", help="of emkit stream keys")
    parser.add_argument("--key", default=name, metavar="NAME", help=f"whose key it is (default: {name})")
    parser.add_argument("--clear", action="store_true", help="without keys, in clear; on the loopback only")


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FOLDER", help="of raw files, version 3, 4 or 5")
    parser.add_argument(
        "--scan", default=f"scan-{datetime.now():%Y%m%d-%H%M%S}", metavar="NAME", help="what it is called (default: the time)"
    )
    parser.add_argument("--rate", type=float, metavar="N", help="frames per second (default: as fast as it goes)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="frames in a message, 1 to 64 (default: 8)")
    parser.add_argument("--window", type=int, default=32, metavar="N", help="messages that may be unconfirmed (default: 32)")


def _security(given: argparse.Namespace) -> "Security":
    from emkit.stream.keys import Security

    if (given.keys is None) != given.clear:
        raise ParameterError("found neither --keys nor --clear, or both; needed: --keys FOLDER, or on the loopback --clear.")
    return Security(given.keys, given.key)


def _how(given: argparse.Namespace) -> "How":
    from emkit.model import Thresholds
    from emkit.stream.messages import How

    Thresholds(given.background, given.xray)  # says what is wrong with them
    return How(background=given.background, xray=given.xray, ties=given.ties, disk=given.disk and tuple(given.disk))


def make(given: argparse.Namespace) -> int:
    from emkit.stream.keys import make_keys

    for path in make_keys(given.folder, given.names):
        print(path)
    return 0


def aggregating(given: argparse.Namespace) -> int:
    from emkit.stream.aggregator import Aggregator
    from emkit.stream.routing import Router

    router = Router(_how(given), given.silent_s)

    def tell(address: str) -> None:
        print(f"listening on {address}", flush=True)

    Aggregator(given.address, _security(given), router, tell, idle_s=given.idle_s).run()
    return 0


def receiving(given: argparse.Namespace) -> int:
    from emkit.stream.receiver import run_receiver
    from emkit.stream.receiving import Receiving

    run_receiver(given.address, _security(given), Receiving(given.out, given.name, _dark(given.dark)), idle_s=given.idle_s)
    return 0


def finalising(given: argparse.Namespace) -> int:
    from emkit.stream.receiver import run_finaliser

    run_finaliser(given.address, _security(given), given.out, lambda report: print(report, flush=True), scans=given.scans)
    return 0


def sending(given: argparse.Namespace) -> int:
    from emkit.stream.local import send_all
    from emkit.stream.sender import run_sender
    from emkit.stream.sending import Sending

    security, source = _security(given), _open(given)
    if given.sector is not None:
        if not 0 <= given.sector < source.plan.sectors:
            raise ParameterError(f"--sector: found {given.sector}, needed 0 to {source.plan.sectors - 1}.")
        closed = run_sender(
            given.address,
            security,
            Sending(source.plan, given.sector, lambda k: source.read(given.sector, k), given.window, given.rate),
        )
        print(f"{closed.scan}: {closed.complete} of {source.plan.frames} frames are whole, {closed.partial} partial")
        return 0
    send_all(given.address, security, source, given.window, given.rate)
    return 0


def here(given: argparse.Namespace) -> int:
    from emkit.stream.finalising import COUNTED
    from emkit.stream.local import local_stream

    source = _open(given)
    with local_stream(given.out, _how(given), given.receivers, dark=_dark(given.dark)) as stream:
        for sector in range(source.plan.sectors):
            stream.begin_sender(source, sector, given.window, given.rate)
        stream.finalise(print, scans=1)
    print(f"Written: {given.out / source.plan.scan / COUNTED}")
    return 0


def watching(given: argparse.Namespace) -> int:
    from emkit.stream.viewing import partial_image

    security, on_terminal = _security(given), sys.stdout.isatty()
    while True:
        live = partial_image(given.address, given.scan, security)
        if on_terminal and live.told.scan:
            print("\x1b[H\x1b[2J" + picture(live.image, os.get_terminal_size().columns))
        print(live, flush=True)
        if given.once or live.told.over:
            return 0
        time.sleep(LOOK_EVERY_S)


def picture(image: Any, columns: int) -> str:
    """An image in characters, at most so wide: the mean of what falls on each. A character is twice as high as wide."""
    import numpy as np

    height, width = image.shape
    step = max(1, -(-width // columns))
    rows, cols = range(0, height, 2 * step), range(0, width, step)
    means = np.array([[image[y : y + 2 * step, x : x + step].mean() for x in cols] for y in rows])
    low, high = means[means > 0].min(initial=means.max()), means.max()
    shade = np.clip((means - low) / max(high - low, 1) * (len(SHADES) - 2) + 1, 1, len(SHADES) - 1) * (means > 0)
    return "\n".join("".join(SHADES[int(k)] for k in row) for row in shade)


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
