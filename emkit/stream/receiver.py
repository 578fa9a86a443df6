"""A receiver and the finaliser: sockets around `Receiving` and `finalise`. They only connect outwards."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emkit.stream.finalising import StreamReport, finalise
from emkit.stream.keys import Security
from emkit.stream.messages import Close, Data, Finished, Ready
from emkit.stream.receiving import Receiving
from emkit.stream.sending import PULSE_S
from emkit.stream.wire import connected, receive, send

POLL_MS = 100


def run_receiver(
    address: str, security: Security, receiving: Receiving, ends: Callable[[], bool] = lambda: False, idle_s: float = float("inf")
) -> None:
    """Receive until `ends` says so, or no data came for `idle_s`."""
    with connected(address, security) as socket:
        busy, ticked = time.monotonic(), float("-inf")
        try:
            while not ends() and time.monotonic() - busy < idle_s:
                if (now := time.monotonic()) - ticked >= PULSE_S:
                    ticked = now
                    for message, block in receiving.tick():
                        send(socket, message, block)
                if not socket.poll(POLL_MS):
                    continue
                heard, data = receive(socket)
                busy = now if isinstance(heard, Data) else busy
                for message, block in receiving.hear(heard, data):
                    send(socket, message, block)
        finally:
            receiving.close()


def run_finaliser(
    address: str,
    security: Security,
    folder: Path,
    told: Callable[[StreamReport], Any],
    ends: Callable[[], bool] = lambda: False,
    scans: int | None = None,
) -> None:
    """Join every scan that is over, and tell its report; end after so many scans."""
    done: dict[str, tuple[Finished, bytes]] = {}
    name = f"finaliser-{os.getpid()}"
    with connected(address, security) as socket:
        ticked = float("-inf")
        while not ends():
            if (now := time.monotonic()) - ticked >= PULSE_S:
                ticked = now
                send(socket, Ready(role="finaliser", name=name))
                if scans is not None and len(done) >= scans and not socket.poll(POLL_MS):
                    return
            if not socket.poll(POLL_MS):
                continue
            heard, _ = receive(socket)
            if not isinstance(heard, Close):
                continue
            scan = heard.plan.scan
            if scan not in done:
                report, there = finalise(folder / scan, heard.plan, heard.how, heard.totals)
                done[scan] = Finished(scan=scan, complete=report.complete, partial=report.partial), there
                told(report)
            send(socket, *done[scan])
