"""Tasks in processes of this machine, which can be killed at any moment: by us, to cancel, or by anybody.

A worker that is killed costs its task one try; what it had not begun goes back.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from emkit.run.executor import NEEDS, TRIES, Answer, Tasks, Unbegun, Work, WorkerDied
from emkit.run.machine import WORKER, cores
from emkit.run.worker import LONGEST_MESSAGE, Done, Failed

PATIENCE_S = 1.0  # for the nursery to say how a worker ended
# torch takes OMP_NUM_THREADS too
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# threads that wait for others sleep: where cores are shared with other work, those that spin take them from the ones they wait for
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


class Nursery:
    """The driver's side of `emkit.run.worker.nursery`. Threads may share one."""

    def __init__(self, threads: int) -> None:
        self.lock = threading.RLock()
        self.socket, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ended: dict[int, int] = {}
        self.threads = dict.fromkeys(THREADS, str(threads)) | {name: os.environ.get(name, value) for name, value in WAITING.items()}
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

    def worker(self, modules: set[str], folder: str, number: int) -> "tuple[Connection[Any, Any], int]":
        """The connection to a new worker, in this folder and in the environment of this moment, and its process."""
        ours, theirs = socket.socketpair()
        with theirs, self.lock:
            self.listen(0)
            message = json.dumps({"modules": sorted(modules - self.modules)}).encode()
            socket.send_fds(self.socket, [message], [theirs.fileno()])
            self.modules |= modules
        connection: Connection[Any, Any] = Connection(ours.detach())
        pid = connection.recv()
        connection.send((folder, {**os.environ, **self.threads, WORKER: str(number)}, sys.path))
        return connection, pid

    def listen(self, timeout_s: float) -> bool:
        """Note which workers have ended; False if nothing was told. Unread messages would make the nursery wait."""
        heard = False
        with self.lock:
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


_nurseries: dict[tuple[int, int], Nursery] = {}
_finding = threading.Lock()


def nursery(threads: int) -> Nursery:
    """The one of this process, kept for the next run: importing takes longer than many a task."""
    key = os.getpid(), threads
    with _finding:
        if (found := _nurseries.get(key)) and not found.alive:
            found.close()
            found = None
        _nurseries[key] = found = found or Nursery(threads)
        return found


class Pool:
    """An executor: at most `size` workers, begun when there is work for them, ended with the block.

    Each computes with `threads` threads (default: so that all of them together take the cores of this process), and
    stands in `folder` (default: where its driver stands). They are numbered from `first` on.
    """

    batch_s = 0.05

    def __init__(self, size: int, threads: int | None = None, folder: str | None = None, first: int = 0) -> None:
        self.size, self.threads, self.folder, self.first = size, threads or max(1, cores() // size), folder, first
        self.idle: list[Connection[Any, Any]] = []
        self.busy: dict[Connection[Any, Any], list[str]] = {}  # the keys it has not answered, in their order
        self.pids: dict[Connection[Any, Any], int] = {}
        self.numbers: dict[Connection[Any, Any], int] = {}
        self.peaks: Counter[Connection[Any, Any]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the workers, whatever they do; returns when they are gone."""
        if self.pids:
            with suppress(BrokenPipeError, ConnectionResetError):  # a nursery that is gone has taken its workers along
                nursery(self.threads).kill(list(self.pids.values()))
        for connection in self.pids:
            with connection:
                _drain(connection)
        self.idle, self.busy, self.pids, self.numbers = [], {}, {}, {}

    @property
    def peak_bytes(self) -> int:
        return sum(sorted(self.peaks.values())[-self.size :])

    def free(self) -> bool:
        return bool(self.idle) or len(self.busy) < self.size

    def has_room(self, tasks: int) -> bool:
        return tasks <= self.size

    def begin(self, work: Work, tasks: Tasks) -> None:
        connection = self.idle.pop() if self.idle else self._hire({work.__module__, *getattr(work, NEEDS, ())})
        with suppress(BrokenPipeError, ConnectionResetError):  # it has just died: its answer says so
            connection.send((work, dict(tasks)))
        self.busy[connection] = list(tasks)

    def answers(self, timeout_s: float) -> list[Answer]:
        ready = wait(list(self.busy), timeout=timeout_s)
        return [answer for connection in list(self.busy) if connection in ready for answer in self._answers(connection)]

    def _hire(self, modules: set[str]) -> "Connection[Any, Any]":
        number = min(set(range(self.first, self.first + len(self.numbers) + 1)).difference(self.numbers.values()))
        for _ in range(TRIES):
            one = nursery(self.threads)
            try:
                connection, self.pids[connection] = one.worker(modules, self.folder or os.getcwd(), number)
                self.numbers[connection] = number
                return connection
            except (EOFError, OSError):  # the nursery was killed at this moment: the next one is new
                one.close()
        raise WorkerDied("no worker could be started: each ended at once")

    def _answers(self, connection: "Connection[Any, Any]") -> list[Answer]:
        """Of the first task that this worker has not answered; of all where it died."""
        keys = self.busy[connection]
        try:
            answer: Done | Failed = connection.recv()
        except (EOFError, ConnectionResetError):
            del self.busy[connection]
            pid = self.pids.pop(connection)
            del self.numbers[connection]
            connection.close()
            died = WorkerDied(f"{nursery(self.threads).why(pid)} (too little memory, perhaps)")
            return [Failed(keys[0], died, ""), *map(Unbegun, keys[1:])]
        keys.remove(answer.key)
        if isinstance(answer, Done):
            self.peaks[connection] = max(self.peaks[connection], answer.peak_bytes)
        if not keys:
            del self.busy[connection]
            self.idle.append(connection)
        return [answer]


def _drain(connection: "Connection[Any, Any]") -> None:
    """Wait for the end of what the worker says: then it is gone."""
    try:
        while True:
            connection.recv_bytes()
    except (EOFError, ConnectionResetError):
        return
