"""The processes that do tasks: a nursery that has imported what they need, and the workers that it forks.

    python -m emkit.run.worker NUMBER PATH      NUMBER: the inherited socket that leads to the driver; PATH: its sys.path, in JSON

A fork takes milliseconds where the imports take half a second, and the nursery never runs a task, so no thread of a
library is alive in it. It ends when its driver does (the socket closes), and workers end with it: whatever kills a
driver, nothing goes on computing behind it.
"""

import ctypes
import json
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1
LONGEST_MESSAGE = 2**16


@dataclass(frozen=True)
class Done:
    """A task's result."""

    key: str
    result: Any
    peak_bytes: int  # by which its worker grew at most
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A task's error, with the lines that led to it."""

    key: str
    error: Exception
    trace: str


Batch = tuple[Callable[..., Any], Mapping[str, tuple[Any, ...]]]  # the function, and by key the arguments of its tasks


def nursery(driver: socket.socket) -> None:
    """Fork a worker for each descriptor that comes; tell of each that ends, by what; until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the driver, which ends the workers itself
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: set[int] = set()
    while True:
        ready, _, _ = select.select([driver.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, LONGEST_MESSAGE)
            workers -= _tell_of_the_ended(driver)
        if driver.fileno() in ready:
            try:
                text, descriptors, _, _ = socket.recv_fds(driver, LONGEST_MESSAGE, 1)
            except ConnectionResetError:  # it went without having read all we told
                return
            if not text:
                return
            asked = json.loads(text)
            for pid in workers.intersection(asked.get("kill", ())):
                os.kill(pid, signal.SIGKILL)
            for module in asked.get("modules", ()):
                with suppress(ImportError):  # its task will say so
                    import_module(module)
            for descriptor in descriptors:
                workers.add(_fork(driver, woken, wake, descriptor))


def _tell_of_the_ended(driver: socket.socket) -> set[int]:
    gone = set()
    with suppress(ChildProcessError, BrokenPipeError, ConnectionResetError):  # a driver that is gone is noticed by its silence
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            driver.send(json.dumps({"pid": pid, "ended": os.waitstatus_to_exitcode(status)}).encode())
            gone.add(pid)
    return gone


def _fork(driver: socket.socket, woken: int, wake: int, descriptor: int) -> int:
    """The number of a new worker; the worker itself never returns."""
    nursery_pid = os.getpid()
    if worker := os.fork():
        os.close(descriptor)
        return worker
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == nursery_pid:  # else it was gone before the wish was told
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            driver.close()
            os.close(woken)
            os.close(wake)
            with suppress(EOFError, BrokenPipeError, ConnectionResetError), Connection(descriptor) as connection:
                work(connection)
    finally:
        os._exit(0)


def work(connection: "Connection[Any, Any]") -> None:
    """Stand where the driver stands, then do batch after batch, and answer each task on its own."""
    connection.send(os.getpid())
    folder, environment, path = connection.recv()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    before = _resident_kb()
    while True:
        function, tasks = connection.recv()
        for key, arguments in tasks.items():
            connection.send(attempt(function, key, arguments, before))


def attempt(function: Callable[..., Any], key: str, arguments: tuple[Any, ...], before_kb: int | None = None) -> Done | Failed:
    """Do one task; what this process grew by is told where it is said what it held before."""
    began = time.monotonic()
    try:
        result = function(*arguments)
    except Exception as error:  # noqa: BLE001 (whatever a task raises is the driver's to judge)
        return Failed(key, _portable(error), traceback.format_exc())
    grown_kb = 0 if before_kb is None else max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb)
    return Done(key, result, grown_kb * 1024, time.monotonic() - began)


def _resident_kb() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def _portable(error: Exception) -> Exception:
    """The error itself, or one that says the same where it cannot travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 (pickling runs the error's own code)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    from emkit.run import worker  # Done and Failed must be those of the module, not of __main__

    sys.path[:] = json.loads(sys.argv[2])
    worker.nursery(socket.socket(fileno=int(sys.argv[1])))
