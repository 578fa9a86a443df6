"""Tasks in processes of their own: dealt out, tried again elsewhere, ended at once.

A worker that is killed costs its task one try; what it had not begun goes back. A task has three tries, and an error
that emkit explains is final at the first. The order in which tasks end tells nothing: who asks must not depend on it.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from emkit.errors import EmkitError
from emkit.progress import PERIOD_S, Cancelled, cancelled
from emkit.run.worker import LONGEST_MESSAGE, Done, Failed

TRIES = 3
BATCH_S = 0.05  # short tasks travel together, so that the way costs less than the work
LARGEST_BATCH = 64
PATIENCE_S = 1.0  # for the nursery to say how a worker ended
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerDied(RuntimeError):
    """A worker ended in the middle of a task."""


class Nursery:
    """The driver's side of `emkit.run.worker.nursery`."""

    def __init__(self, threads: int) -> None:
        self.socket, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ended: dict[int, int] = {}
        self.threads = dict.fromkeys(THREADS, str(threads))
        with its_end:
            command = [sys.executable, "-m", "emkit.run.worker", str(its_end.fileno()), json.dumps(sys.path)]
            environment = {**os.environ, **self.threads}  # libraries count their threads when they are loaded
            self.process = subprocess.Popen(command, pass_fds=[its_end.fileno()], stdin=subprocess.DEVNULL, env=environment)
        self.modules: set[str] = set()
        atexit.register(self.close)

    def close(self) -> None:
        """It ends, with all its workers."""
        self.socket.close()
        self.process.wait()
        atexit.unregister(self.close)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def worker(self, modules: set[str]) -> "tuple[Connection[Any, Any], int]":
        """The connection to a new worker, in the folder and environment of this moment, and its number."""
        ours, theirs = socket.socketpair()
        self.listen(0)
        with theirs:
            message = json.dumps({"modules": sorted(modules - self.modules)}).encode()
            socket.send_fds(self.socket, [message], [theirs.fileno()])
        self.modules |= modules
        connection: Connection[Any, Any] = Connection(ours.detach())
        pid = connection.recv()
        connection.send((os.getcwd(), {**os.environ, **self.threads}, sys.path))
        return connection, pid

    def listen(self, timeout_s: float) -> bool:
        """Note which workers have ended; False if nothing was told. Unread messages would make the nursery wait."""
        heard = False
        while wait([self.socket], timeout=0 if heard else timeout_s) and (text := self.socket.recv(LONGEST_MESSAGE)):
            told = json.loads(text)
            self.ended[told["pid"]] = told["ended"]
            heard = True
        return heard

    def kill(self, pids: list[int]) -> None:
        """The nursery does it: a number of its own child cannot belong to another process yet."""
        self.socket.send(json.dumps({"kill": pids}).encode())

    def why(self, pid: int) -> str:
        """How a worker of ours ended, in words."""
        while pid not in self.ended and self.listen(PATIENCE_S):
            continue
        code = self.ended.get(pid)
        if code is None:
            return "its worker is gone"
        return f"its worker was killed by signal {-code}" if code < 0 else f"its worker ended with {code}"


@cache
def _nursery(owner: int, threads: int) -> Nursery:
    return Nursery(threads)


def nursery(threads: int) -> Nursery:
    """The one of this process, kept for the next run: importing takes longer than many a task."""
    found = _nursery(os.getpid(), threads)
    if not found.alive:
        found.close()
        _nursery.cache_clear()
        found = _nursery(os.getpid(), threads)
    return found


class Pool:
    """At most `size` workers, begun when there is work for them, ended with the block."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.idle: list[Connection[Any, Any]] = []
        self.busy: dict[Connection[Any, Any], list[str]] = {}  # the keys it has not answered, in their order
        self.pids: dict[Connection[Any, Any], int] = {}
        self.peaks: Counter[Connection[Any, Any]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers, whatever they do; returns when they are gone."""
        if self.pids:
            with suppress(BrokenPipeError, ConnectionResetError):  # a nursery that is gone has taken its workers along
                nursery(self._threads).kill(list(self.pids.values()))
        for connection in self.pids:
            with connection:
                _drain(connection)
        self.idle, self.busy, self.pids = [], {}, {}

    @property
    def peak_bytes(self) -> int:
        """By how much the workers grew at most, all together."""
        return sum(sorted(self.peaks.values())[-self.size :])

    def outcomes(self, work: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]]) -> Generator[Done | Failed, None, None]:
        """What comes of each task, as it comes. Raises `Cancelled` within two tenths of a second after somebody asks for it."""
        waiting, tried, length = deque(tasks), Counter[str](), 1
        asked = time.monotonic()
        began: dict[Connection[Any, Any], tuple[float, int]] = {}
        while waiting or self.busy:
            while waiting and (self.idle or len(self.busy) < self.size):
                # towards the end one by one, so that none waits behind a slow one while another worker idles
                keys = [waiting.popleft() for _ in range(max(1, min(length, len(waiting) // (4 * self.size))))]
                connection = self.idle.pop() if self.idle else self._hire(work.__module__)
                with suppress(BrokenPipeError, ConnectionResetError):  # it has just died: the answer below says so
                    connection.send((work, {key: tasks[key] for key in keys}))
                self.busy[connection], began[connection] = keys, (time.monotonic(), len(keys))
            ready = wait(list(self.busy), timeout=PERIOD_S)
            for connection in [one for one in self.busy if one in ready]:
                outcome = self._answer(connection)
                if connection not in self.pids:  # it died: what it had not begun goes back
                    waiting.extendleft(reversed(self.busy.pop(connection)))
                elif not self.busy[connection]:
                    del self.busy[connection]
                    self.idle.append(connection)
                    since, count = began.pop(connection)
                    length = max(1, min(LARGEST_BATCH, int(BATCH_S * count / (time.monotonic() - since))))
                if isinstance(outcome, Failed) and not isinstance(outcome.error, EmkitError):
                    tried[outcome.key] += 1
                    if tried[outcome.key] < TRIES:
                        waiting.append(outcome.key)
                        continue
                yield outcome
            if time.monotonic() - asked >= PERIOD_S:
                if cancelled():
                    raise Cancelled(f"cancelled with {len(waiting) + sum(map(len, self.busy.values()))} tasks to do")
                asked = time.monotonic()

    @property
    def _threads(self) -> int:
        return max(1, len(os.sched_getaffinity(0)) // self.size)

    def _hire(self, module: str) -> "Connection[Any, Any]":
        for _ in range(TRIES):
            one = nursery(self._threads)
            try:
                connection, self.pids[connection] = one.worker({module})
                return connection
            except (EOFError, OSError):  # the nursery was killed at this moment: the next one is new
                one.close()
        raise WorkerDied("no worker could be started: each ended at once")

    def _answer(self, connection: "Connection[Any, Any]") -> Done | Failed:
        """Of the first task that this worker has not answered."""
        try:
            answer: Done | Failed = connection.recv()
        except (EOFError, ConnectionResetError):
            pid = self.pids.pop(connection)
            connection.close()
            key = self.busy[connection].pop(0)
            return Failed(key, WorkerDied(f"{nursery(self._threads).why(pid)} (too little memory, perhaps)"), "")
        self.busy[connection].remove(answer.key)
        if isinstance(answer, Done):
            self.peaks[connection] = max(self.peaks[connection], answer.peak_bytes)
        return answer


def _drain(connection: "Connection[Any, Any]") -> None:
    """Wait for the end of what the worker says: then it is gone."""
    try:
        while True:
            connection.recv_bytes()
    except (EOFError, ConnectionResetError):
        return
