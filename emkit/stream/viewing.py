"""How far a live scan is: the partial virtual image, with rate, lag and loss."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import zmq
from numpy.typing import NDArray

from emkit.errors import StreamError
from emkit.stream.keys import Security
from emkit.stream.messages import Look, View
from emkit.stream.tally import Tally
from emkit.stream.wire import connected, receive, send

PATIENCE_S = 5.0
AGAIN_S = 2.0  # a look that nobody answered is sent once more


@dataclass(frozen=True)
class Live:
    """Arrays are (sy, sx). `image`: electrons at each position so far, 0 where there is none; `bright`: those in the bright field,
    None where nobody asked for it. `partial`: frames of which sectors are lacking. `told`: the numbers beside it."""

    told: View
    image: NDArray[np.int32]
    bright: NDArray[np.int32] | None
    there: NDArray[np.bool_]
    partial: NDArray[np.bool_]

    @classmethod
    def of(cls, told: View, block: bytes | memoryview) -> "Live":
        """DataError where the block is not of this scan."""
        shape, tally = told.scan_shape, Tally.unpacked(bytes(block), told.frames)
        there = tally.masks > 0
        image, bright = np.maximum(tally.electrons, 0).reshape(shape), tally.bright.reshape(shape)
        partial = there & ~tally.whole(told.sectors)
        return cls(told, image, bright if told.bright else None, there.reshape(shape), partial.reshape(shape))

    def __str__(self) -> str:
        v = self.told
        if v.scan is None:
            return f"no scan yet; {v.receivers} receivers"
        counts = {
            "partial": v.partial,
            "missing": v.frames - v.whole - v.partial if v.over else 0,
            "sectors twice": v.duplicate,
            "sectors late": v.late,
            "messages refused": v.refused,
        }
        loss = "".join(f", {n} {what}" for what, n in counts.items() if n)
        silent = f", silent: sector {', '.join(map(str, v.silent))}" if v.silent else ""
        pace = f"in {v.seconds:.1f} s" if v.over else f"{v.rate:.0f} frames/s, lag {v.lag} groups, {v.receivers} receivers"
        return f"{v.scan}: {v.whole} of {v.frames} frames whole{loss}{silent}, {pace}, senders waited {v.waited_s:.1f} s"


class Watcher:
    """Asks over one connection, again and again. `silent_since`: when it was answered last, by the monotonic clock."""

    def __init__(self, socket: zmq.Socket[bytes], address: str) -> None:
        self._socket, self._address = socket, address
        self._asked: float | None = None
        self.silent_since = time.monotonic()

    def look(self, scan: str | None = None, patience_s: float = PATIENCE_S) -> Live | None:
        """How far this scan is, or the newest; None where nobody answers in time. StreamError: what answers is no aggregator."""
        if self._asked is None or time.monotonic() - self._asked > AGAIN_S:
            send(self._socket, Look(scan=scan))
            self._asked = time.monotonic()
        found, wait_ms = None, int(patience_s * 1000)
        while self._socket.poll(wait_ms):
            heard, block = receive(self._socket)
            if not isinstance(heard, View):
                raise StreamError(f"{self._address} answered {heard.kind!r} to a look: it is another version's aggregator.")
            found, wait_ms = Live.of(heard, block), 0
            self._asked, self.silent_since = None, time.monotonic()
        return found


@contextmanager
def watching(address: str, security: Security | None = None) -> Iterator[Watcher]:
    with connected(address, security or Security(None)) as socket:
        yield Watcher(socket, address)


def partial_image(address: str, scan: str | None = None, security: Security | None = None, patience_s: float = PATIENCE_S) -> Live:
    """What is counted so far of a scan, or of the newest. StreamError where no aggregator answers in time."""
    with watching(address, security) as watcher:
        if (found := watcher.look(scan, patience_s)) is None:
            raise StreamError(f"no aggregator answered at {address} for {patience_s:g} s. Is it running, and is this key allowed?")
        return found
