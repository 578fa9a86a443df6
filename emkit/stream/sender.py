"""A sender: a socket around `Sending`, one process for each sector."""

import time
from collections.abc import Callable

import zmq

from emkit.errors import StreamError
from emkit.stream.keys import Security
from emkit.stream.messages import Closed, encode
from emkit.stream.sending import Sending
from emkit.stream.wire import connected, receive

PATIENCE_S = 60.0
POLL_MS = 5


def run_sender(
    address: str, security: Security, sending: Sending, ends: Callable[[], bool] = lambda: False, patience_s: float = PATIENCE_S
) -> Closed | None:
    """Send a sector until the scan is closed, or `ends` says so. StreamError where the aggregator says nothing for so long."""
    with connected(address, security) as socket:
        heard = time.monotonic()
        while sending.closed is None and not ends():
            said = sending.say(time.monotonic())
            for message, block in said:
                _send(socket, encode(message), b"" if block is None else block.data)
            wait_ms = 0 if said else POLL_MS
            while socket.poll(wait_ms):
                sending.hear(receive(socket)[0])
                heard, wait_ms = time.monotonic(), 0
            if time.monotonic() - heard > patience_s:
                raise StreamError(
                    f"no aggregator answered at {address} for {patience_s:g} s; scan {sending.plan.scan}, sector {sending.sector}: "
                    f"{sending.confirmed} of {sending.plan.groups} groups are confirmed. Is it running, and is this key allowed?"
                )
        return sending.closed


def _send(socket: zmq.Socket[bytes], header: bytes, block: bytes | memoryview) -> None:
    try:
        socket.send(header, zmq.SNDMORE | zmq.NOBLOCK)
        socket.send(block, zmq.NOBLOCK, copy=not block)
    except zmq.Again:  # the queue is full, as nobody takes from it: not confirmed, so it comes again
        return
