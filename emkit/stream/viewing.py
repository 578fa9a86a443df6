"""How far a live scan is: the partial virtual image, with rate, lag and loss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emkit.errors import StreamError
from emkit.stream.keys import Security
from emkit.stream.messages import Look, View
from emkit.stream.wire import connected, receive, send


@dataclass(frozen=True)
class Live:
    """`image`: electrons at each position so far, (sy, sx). `told`: the numbers beside it."""

    image: NDArray[np.uint32]
    told: View

    def __str__(self) -> str:
        v = self.told
        if v.scan is None:
            return f"no scan yet; {v.receivers} receivers"
        silent = f", silent: sector {', '.join(map(str, v.silent))}" if v.silent else ""
        partial = f", {v.partial} partial" if v.partial else ""
        return (
            f"{v.scan}: {v.whole} of {v.frames} frames whole{partial}{silent}, {v.rate:.0f} frames/s, lag {v.lag} groups, "
            f"{v.receivers} receivers, senders waited {v.waited_s:.1f} s" + (f", {v.refused} messages refused" if v.refused else "")
        )


def partial_image(address: str, scan: str | None = None, security: Security | None = None, patience_s: float = 5.0) -> Live:
    """What is counted so far of a scan, or of the newest. StreamError where no aggregator answers in time."""
    with connected(address, security or Security(None)) as socket:
        send(socket, Look(scan=scan))
        if not socket.poll(int(patience_s * 1000)):
            raise StreamError(f"no aggregator answered at {address} for {patience_s:g} s. Is it running, and is this key allowed?")
        heard, block = receive(socket)
        if not isinstance(heard, View):
            raise StreamError(f"{address} answered {heard.kind!r} to a look: it is another version's aggregator.")
        return Live(np.frombuffer(bytes(block), "<u4").reshape(heard.scan_shape), heard)
