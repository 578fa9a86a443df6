"""A whole stream on this machine: an aggregator, receivers, a finaliser and senders, each a process, on the loopback in clear."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emkit.errors import EmkitError, StreamError
from emkit.stream.aggregator import Aggregator
from emkit.stream.finalising import StreamReport
from emkit.stream.keys import Security
from emkit.stream.messages import How
from emkit.stream.receiver import run_finaliser, run_receiver
from emkit.stream.receiving import Receiving
from emkit.stream.routing import SILENT_S, Router
from emkit.stream.sender import run_sender
from emkit.stream.sending import Sending
from emkit.stream.sources import Source

START_S = 60.0
SENDER, RECEIVER, FINALISER, WATCHER = "sender", "receiver", "finaliser", "watcher"  # whose keys they use
PROCESSES = get_context("forkserver")  # sockets and threads are not forked
PROCESSES.set_forkserver_preload([__name__])


@dataclass
class LocalStream:
    """The processes of a stream. Each may be killed and begun again; `address` stays."""

    folder: Path
    how: How
    dark: NDArray[Any] | None = None
    security: Security = field(default_factory=lambda: Security(None))
    silent_s: float = SILENT_S
    idle_s: float = float("inf")  # after so long without a scan the aggregator ends
    address: str = "tcp://127.0.0.1:0"
    processes: list[BaseProcess] = field(default_factory=list)

    def begin_aggregator(self) -> BaseProcess:
        """Returns when it listens."""
        here, there = PROCESSES.Pipe(duplex=False)
        process = self._begin(_aggregate, "aggregator", self.address, self.security, self.how, self.silent_s, self.idle_s, there)
        there.close()
        try:
            if not here.poll(START_S):
                raise StreamError(f"the aggregator did not listen within {START_S:g} s.")
            self.address = here.recv_bytes().decode()
        except EOFError:
            raise StreamError("the aggregator ended before it listened; it said why on standard error.") from None
        return process

    def begin_receiver(self, name: str) -> BaseProcess:
        return self._begin(_receive, name, self.address, self._as(RECEIVER), self.folder, name, self.dark)

    def begin_finaliser(self) -> BaseProcess:
        """It prints the reports."""
        return self._begin(_finalise, "finaliser", self.address, self._as(FINALISER), self.folder)

    def begin_sender(self, source: Source, sector: int, window: int = 16, rate: float | None = None) -> BaseProcess:
        return self._begin(_send, f"sender-{sector}", self.address, self._as(SENDER), source, sector, window, rate)

    def finalise(self, told: Callable[[StreamReport], Any], scans: int) -> None:
        """Join so many scans, in this process. StreamError where another one failed; one that was killed did not."""
        run_finaliser(self.address, self._as(FINALISER), self.folder, told, self.has_failed, scans)
        if self.has_failed():
            raise StreamError("a process of the stream ended early; above it said why.")

    def has_failed(self) -> bool:
        return any(process.exitcode not in (None, 0, -signal.SIGKILL) for process in self.processes)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

    def _as(self, name: str) -> Security:
        return Security(self.security.keys, name)

    def _begin(self, target: Callable[..., Any], name: str, *args: Any) -> BaseProcess:
        process = begin(target, *args)
        process.name = name
        self.processes.append(process)
        return process


@contextmanager
def local_stream(folder: Path, how: How, receivers: int = 1, **given: Any) -> Iterator[LocalStream]:
    stream = LocalStream(folder, how, **given)
    try:
        stream.begin_aggregator()
        for k in range(receivers):
            stream.begin_receiver(f"receiver-{k}")
        yield stream
    finally:
        stream.close()


def send_all(address: str, security: Security, source: Source, window: int, rate: float | None) -> None:
    """Send all sectors, a process each, until the scan is closed. StreamError where one of them fails."""
    senders = begin_senders(address, security, source, window, rate)
    try:
        for process in senders:
            process.join()
    finally:
        for process in senders:
            process.kill()
    if failed := [k for k, process in enumerate(senders) if process.exitcode]:
        raise StreamError(f"sector {', '.join(map(str, failed))} was not sent; above it said why.")


def begin_senders(address: str, security: Security, source: Source, window: int, rate: float | None) -> list[BaseProcess]:
    """A process for each sector."""
    return [begin(_send, address, security, source, sector, window, rate) for sector in range(source.plan.sectors)]


def receive_all(
    address: str, security: Security, folder: Path, name: str, dark: NDArray[Any] | None, idle_s: float, processes: int
) -> None:
    """Receive with so many processes until all have ended. StreamError where one of them fails: the others end, too."""
    crew = [begin(_receive, address, security, folder, f"{name}-{k}", dark, idle_s) for k in range(processes)]
    try:
        while running := [one for one in crew if one.exitcode is None]:
            wait([one.sentinel for one in running])
            if any(one.exitcode for one in crew):
                raise StreamError("a receiver ended early; above it said why.")
    finally:
        for one in crew:
            one.kill()


def begin(target: Callable[..., Any], *args: Any) -> BaseProcess:
    process = PROCESSES.Process(target=_speaking, args=(target, *args), daemon=True)
    process.start()
    return process


def _speaking(target: Callable[..., Any], *args: Any) -> None:
    """Ctrl-C is the parent's; what is refused is one message and the exit code 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        target(*args)
    except EmkitError as refused:
        sys.exit(str(refused))


def _orphaned() -> bool:
    """Whether whoever began this process is gone."""
    parent = parent_process()
    return parent is not None and not parent.is_alive()


def _aggregate(address: str, security: Security, how: How, silent_s: float, idle_s: float, ready: Any) -> None:
    def tell(at: str) -> None:
        ready.send_bytes(at.encode())
        ready.close()

    Aggregator(address, security, Router(how, silent_s), tell, _orphaned, idle_s).run()


def _receive(
    address: str, security: Security, folder: Path, name: str, dark: NDArray[Any] | None, idle_s: float = float("inf")
) -> None:
    run_receiver(address, security, Receiving(folder, name, dark), _orphaned, idle_s)


def _finalise(address: str, security: Security, folder: Path) -> None:
    run_finaliser(address, security, folder, lambda report: print(report, flush=True), _orphaned)


def _send(address: str, security: Security, source: Source, sector: int, window: int, rate: float | None) -> None:
    run_sender(address, security, Sending(source.plan, sector, lambda group: source.read(sector, group), window, rate), _orphaned)
