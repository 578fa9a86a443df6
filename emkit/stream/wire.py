"""Sockets of a stream: one ROUTER at the aggregator, a DEALER at everyone else, who only connect outwards.

Queues are bounded; the aggregator never waits for a peer: what does not fit is not sent, and comes again, as it is not confirmed.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import zmq
from zmq.auth.thread import ThreadAuthenticator

from emkit.errors import ParameterError, PathError
from emkit.stream.keys import Security
from emkit.stream.messages import Message, decode, encode

MOST_BYTES = 2**27  # of a message; libzmq ends the connection of who sends more
QUEUE = 512  # messages a peer
HEARTBEAT_MS, DEAD_MS = 1000, 5000
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KEPT_BYTES = 2**25  # of a block of memory: glibc's own limit


@contextmanager
def serving(address: str, security: Security) -> Iterator[zmq.Socket[bytes]]:
    """The aggregator's socket. Its address, with the port it got, is `socket.last_endpoint`."""
    security.check(address)
    _keep_memory()
    with zmq.Context(io_threads=2) as context:
        guard = ThreadAuthenticator(context) if security.keys else None
        if guard:
            guard.start()
            guard.configure_curve_callback("*", credentials_provider=_Allowed(security))
        try:
            with context.socket(zmq.ROUTER) as socket:
                _bound(socket)
                socket.router_mandatory = True
                security.secure_server(socket)
                try:
                    socket.bind(address)
                except zmq.ZMQError as wrong:
                    raise PathError(
                        f"{address} cannot be listened on ({wrong}); needed: tcp://HOST:PORT, with a free port (0: any)."
                    ) from None
                yield socket
        finally:
            if guard:
                guard.stop()


@contextmanager
def connected(address: str, security: Security) -> Iterator[zmq.Socket[bytes]]:
    """A client's socket; it connects again by itself when the aggregator comes back."""
    security.check(address)
    _keep_memory()
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        _bound(socket)
        socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 1000
        security.secure_client(socket)
        try:
            socket.connect(address)
        except zmq.ZMQError as wrong:
            raise ParameterError(f"{address} is no address to connect to ({wrong}); needed: tcp://HOST:PORT.") from None
        yield socket


@cache
def _keep_memory() -> None:
    """Keep the memory of a message for the next one: given back to the system, every page of it is made and cleared anew, which
    takes a receiver more time than the data do (`benchmarks/streaming.py`)."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, KEPT_BYTES)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def _bound(socket: zmq.Socket[bytes]) -> None:
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = QUEUE
    socket.maxmsgsize = MOST_BYTES
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = HEARTBEAT_MS, DEAD_MS, DEAD_MS


class _Allowed:
    """Asked at every handshake, so that a key that was removed opens nothing from then on."""

    def __init__(self, security: Security) -> None:
        self.security = security

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self.security.allowed()


def send(socket: zmq.Socket[bytes], message: Message, block: bytes | memoryview = b"", *, flags: int = 0) -> None:
    """Header and block; a large block is not copied, and must not be changed."""
    socket.send(encode(message), zmq.SNDMORE | flags)
    socket.send(block, flags, copy=len(block) < 2**16)


def receive(socket: zmq.Socket[bytes]) -> tuple[Message, memoryview]:
    """What the aggregator says, without a copy. DataError where it is no message of ours."""
    header, *rest = socket.recv_multipart(copy=False)
    return decode(header.buffer), rest[0].buffer if rest else memoryview(b"")
