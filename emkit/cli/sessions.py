"""`emkit stream start|status|stop|watch`: a streaming session, and a terminal to look at it."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emkit.errors import ParameterError

if TYPE_CHECKING:
    from emkit.stream.keys import Security
    from emkit.stream.messages import How
    from emkit.stream.session import Session

LOOK_EVERY_S = 1.0
BAR_COLUMNS = 30
SHADES = " .:-=+*#%@"


def add(words: Any) -> None:
    start = words.add_parser(
        "start",
        help="start a session: receivers here or as jobs, until nobody streams any more",
        description="Starts an aggregator here and receivers, and waits until they are ready. The session goes on by itself.",
    )
    _folder(start)
    start.add_argument(
        "--on",
        metavar="PLACE",
        help="of the receivers: local[:N processes] or slurm:PROFILE[:N jobs] (default: a site's profile realtime, else local)",
    )
    add_how(start)
    start.add_argument("--dark", type=Path, metavar="FILE.npy", help="the dark reference")
    start.add_argument(
        "--listen", default="", metavar="ADDRESS", help="tcp://HOST:PORT, HOST as others reach it (default: found out)"
    )
    start.add_argument("--idle-s", type=float, default=1800.0, metavar="S", help="end after so long without a scan (default: 1800)")
    start.add_argument("--detach", action="store_true", help="do not wait until it is ready")
    start.set_defaults(run=starting)

    status = words.add_parser("status", help="how a session stands")
    _folder(status)
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(run=telling)

    stop = words.add_parser("stop", help="end a session; what is under way is joined, and what lacks is named")
    _folder(stop)
    stop.set_defaults(run=stopping)

    phantom = words.add_parser("phantom", help="stream a phantom to a session, to try it")
    _folder(phantom)
    phantom.add_argument(
        "--scan-shape", type=int, nargs=2, default=(48, 48), metavar=("SY", "SX"), help="positions (default: 48 48)"
    )
    phantom.add_argument("--scan", default="", metavar="NAME", help="what it is called (default: the time)")
    phantom.add_argument("--rate", type=float, metavar="N", help="frames per second (default: as fast as it goes)")
    phantom.add_argument(
        "--lost", type=float, default=0.0, metavar="PART", help="of sectors of frames that never come (default: 0)"
    )
    phantom.set_defaults(run=trying)

    watch = words.add_parser("watch", help="show how far the newest scan is")
    watch.add_argument("where", metavar="FOLDER|ADDRESS", help="of a session, or of an aggregator")
    watch.add_argument("--scan", metavar="NAME", help="this scan")
    watch.add_argument("--once", action="store_true", help="show it once")
    add_keys(watch, "watcher")
    watch.set_defaults(run=watching)


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="that its scans are written to")


def add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--background", type=float, required=True, metavar="ADU", help="pixels at or below are noise")
    parser.add_argument("--xray", type=float, required=True, metavar="ADU", help="pixels at or above are X-rays")
    parser.add_argument(
        "--ties", choices=("keep", "drop"), default="keep", help="of equal neighbours keep one, or none (default: keep)"
    )

    parser.add_argument(
        "--disk", type=float, nargs=3, metavar=("KY", "KX", "RADIUS"), help="the bright field on the detector, px, to watch it live"
    )


def add_keys(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--keys", type=Path, metavar="FOLDER", help="of emkit stream keys")
    parser.add_argument("--key", default=name, metavar="NAME", help=f"whose key it is (default: {name})")
    parser.add_argument("--clear", action="store_true", help="without keys, in clear; on the loopback only")


def security_of(given: argparse.Namespace) -> "Security":
    from emkit.stream.keys import Security

    if (given.keys is None) != given.clear:
        raise ParameterError("found neither --keys nor --clear, or both; needed: --keys FOLDER, or on the loopback --clear.")
    return Security(given.keys, given.key)


def how_of(given: argparse.Namespace) -> "How":
    from emkit.model import Thresholds
    from emkit.stream.messages import How

    Thresholds(given.background, given.xray)  # says what is wrong with them
    return How(background=given.background, xray=given.xray, ties=given.ties, disk=given.disk and tuple(given.disk))


def starting(given: argparse.Namespace) -> int:
    from emkit.stream.session import Wishes, default_place, start_session

    wishes = Wishes(
        how=how_of(given),
        place=given.on or default_place(),
        listen=given.listen,
        idle_s=given.idle_s,
        dark=given.dark and str(given.dark.absolute()),
    )
    session = start_session(given.folder, wishes)
    if given.detach:
        print(f"The session starts by itself. Look: emkit stream status {given.folder}")
        return 0
    return _wait(session, given.folder)


def _wait(session: "Session", folder: Path) -> int:
    """Until it is ready, telling why not; Ctrl-C leaves it to itself."""
    told = ""
    while (said := session.said()).state in ("starting", "waiting"):
        if (words := f"{said.state}: {said.message}") != told:
            print(told := words, file=sys.stderr, flush=True)
        time.sleep(0.2)
    print(said)
    if said.state != "ready":
        return 3
    print(f"Send to it: emkit stream send RAW {said.address} --keys {session.keys}\nWatch it: emkit stream watch {folder}")
    return 0


def telling(given: argparse.Namespace) -> int:
    from emkit.stream.session import Session

    said = Session(given.folder.absolute()).said()
    print(said.model_dump_json(indent=1) if given.json else said)
    return 0


def stopping(given: argparse.Namespace) -> int:
    from emkit.stream.session import LIVING, Session

    session = Session(given.folder.absolute())
    if session.said().state == "interrupted":
        print("\n".join(map(str, session.join_left())) or "Its process is gone already, and has left nothing.")
        return 0
    session.ask_to_stop()
    while (said := session.said()).state in LIVING:
        time.sleep(0.2)
    print(said)
    return 0


def trying(given: argparse.Namespace) -> int:
    from emkit.errors import StreamError
    from emkit.stream.trying import send_phantom

    senders = send_phantom(given.folder, tuple(given.scan_shape), given.scan, given.rate, given.lost)
    for process in senders:
        process.join()
    if any(process.exitcode for process in senders):
        raise StreamError("a sector was not sent; above it said why.")
    return 0


def watching(given: argparse.Namespace) -> int:
    from emkit.errors import StreamError
    from emkit.stream.session import Session
    from emkit.stream.viewing import PATIENCE_S
    from emkit.stream.viewing import watching as looking

    if "://" in given.where:
        address, security = given.where, security_of(given)
    else:
        session = Session(Path(given.where).absolute())
        address, security = session.said().address, session.security()
    if not address:
        raise ParameterError(f"{given.where} has no streaming session. Start one: emkit stream start {given.where} …")
    on_terminal = sys.stdout.isatty()
    with looking(address, security) as watcher:
        while True:
            if (live := watcher.look(given.scan)) is None:
                raise StreamError(
                    f"no aggregator answered at {address} for {PATIENCE_S:g} s. Is it running, and is this key allowed?"
                )
            if on_terminal and live.told.scan:
                print("\x1b[H\x1b[2J" + picture(live.image, os.get_terminal_size().columns))
            print(bar(live.told.whole + live.told.partial, live.told.frames), live, flush=True)
            if given.once or live.told.over:
                return 0
            time.sleep(LOOK_EVERY_S)


def bar(done: int, total: int) -> str:
    """How far a scan is.

    >>> bar(3, 4)
    '[######################--------]  75 %'
    """
    part = done / total if total else 0.0
    filled = int(part * BAR_COLUMNS)
    return f"[{'#' * filled}{'-' * (BAR_COLUMNS - filled)}] {100 * part:3.0f} %"


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
