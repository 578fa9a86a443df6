"""The aggregator: a socket around `Router`."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import zmq

from emkit.stream.keys import Security
from emkit.stream.messages import Data, encode
from emkit.stream.routing import Outgoing, Router
from emkit.stream.wire import serving

TICK_S = 0.25
AT_ONCE = 64  # messages between two looks at the clock


@dataclass
class Aggregator:
    """`ready` is told the address that it listens on. It ends when `ends` says so, or when there was no scan for `idle_s` since it
    has had a receiver: that one's job may wait for long."""

    address: str
    security: Security
    router: Router
    ready: Callable[[str], Any] = lambda _: None
    ends: Callable[[], bool] = lambda: False
    idle_s: float = float("inf")

    def run(self) -> None:
        with serving(self.address, self.security) as socket:
            self.ready(socket.getsockopt_string(zmq.LAST_ENDPOINT))
            ticked = busy = time.monotonic()
            staffed = False
            while not self.ends() and time.monotonic() - busy < self.idle_s:
                if socket.poll(int(TICK_S * 1000)):
                    self._hear(socket)
                if (now := time.monotonic()) - ticked >= TICK_S:
                    ticked = now
                    self._send(socket, self.router.tick(now))
                staffed = staffed or bool(self.router.receivers)
                busy = now if self.router.scans or not staffed else busy

    def _hear(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(AT_ONCE):
            try:
                peer, *parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._send(socket, self.router.hear(peer.bytes, [part.buffer for part in parts], time.monotonic()))

    def _send(self, socket: zmq.Socket[bytes], outgoing: Iterable[Outgoing]) -> None:
        waiting = list(outgoing)
        for peer, message, block in waiting:
            try:
                socket.send_multipart([peer, encode(message)], zmq.SNDMORE | zmq.NOBLOCK)
                socket.send(block, zmq.NOBLOCK, copy=not isinstance(message, Data))
            except zmq.Again:  # its queue is full
                self.router.refused["back-pressure"] += 1
            except zmq.ZMQError as wrong:
                if wrong.errno != zmq.EHOSTUNREACH:
                    raise
                waiting += self.router.lose(peer)
