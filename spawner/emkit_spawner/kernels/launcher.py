"""First process of a kernel's job: starts the kernel, tells where it listens, and obeys.

    python launcher.py FOLDER

A copy of this file runs on the node, so it needs the standard library alone. FOLDER is 0700, on a file system that the server and
the nodes share, and is all that the two have in common. Each file in it is 0600 and has one writer:

    seed.json     server, once      the kernel's command, its keys, where the server is
    order.json    server            {"start": which start of the kernel, "do": "run" | "kill" | "end", "claimed", "cwd", "env"}
    status.json   launcher          {"start", "state": "running" | "exited" | "ended", "code", "signal", "host", "ip", five ports}
    kernel.json   kernel            its connection file: ports go in as 0 and come back as bound

Nobody but the kernel chooses a port, and a restarted one keeps its ports, since pages are connected to them. No secret leaves the
files. They are rewritten in place: opening a known name is what NFS keeps fresh between hosts.

A Python kernel of the launcher's own interpreter is a fork of the launcher, which has imported ipykernel while nobody waited: a
restart costs no import. Any other kernel is executed.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
EXPECTING_S, QUIET_S = 0.01, 0.5  # between two looks: when something is about to happen, and else
ATTENTIVE_S = 10.0  # after the end of a kernel its restart is expected for this long
SHORT_LIFE_S = 1.0
POLITE_S, PATIENCE_S = 2.0, 10.0  # for a kernel to end: asked, and forced
PRELOADED = (  # all that a kernel imports by its first output, and by its first traceback: an interrupt shows one
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger", "IPython.core.completer",
    "IPython.core.completerlib", "IPython.core.debugger", "IPython.extensions.storemagic", "psutil", "sqlite3",
    "tornado.platform.asyncio", "stack_data", "pygments.formatters.terminal256", "pygments.styles",
)  # fmt: skip


def read(path: Path) -> "dict[str, Any]":
    """The object in a file; {} where it is missing or half written: ask again."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, value: "dict[str, Any]") -> None:
    """Rewrite a file in place, readable by its owner alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(value))
        file.flush()
        os.fsync(file.fileno())


def address_towards(host: str) -> str:
    """This node's address on the way to `host` (nothing is sent), else that of its own name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())


def demands_curve(ip: str, port: int) -> bool:
    """Whether the socket at this address talks CurveZMQ only: the mechanism in its greeting (ZMTP 3.1, bytes 12 to 31)."""
    greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with socket.create_connection((ip, port), PATIENCE_S) as peer:
        peer.sendall(greeting)
        told = b""
        while len(told) < len(greeting) and (more := peer.recv(len(greeting) - len(told))):
            told += more
    return told[12:32].rstrip(b"\0") == b"CURVE"


class Launcher:
    """One job's allocation: kernels start in it one after another, until an order or the scheduler ends it."""

    def __init__(self, folder: Path) -> None:
        for name in ("seed.json", "order.json"):
            try:
                found = (folder / name).stat()
            except OSError as error:
                sys.exit(
                    f"{folder / name} cannot be read on {socket.gethostname()} ({error.strerror}): kernels need a folder that the "
                    "server and the nodes share. Set `folder` in the profiles' file."
                )
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                sys.exit(f"{folder / name} must be 0600 and belong to user {os.getuid()}.")
        self.folder, self.seed = folder, read(folder / "seed.json")
        self.command = [word.replace("{connection_file}", str(folder / "kernel.json")) for word in self.seed["command"]]
        self.ip = address_towards(self.seed["server_host"])
        self.start, self.kernel, self.ended = 0, 0, False
        self.last: dict[str, Any] = {}
        self.ports = dict.fromkeys(PORTS, 0)
        self.awake, alarm = os.pipe()
        for end in (self.awake, alarm):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes us, that is all
        signal.signal(signal.SIGTERM, self._asked_to_end)  # walltime, a cancel, preemption: before the scheduler kills

    def _asked_to_end(self, number: int, frame: object) -> None:
        self.ended = True

    def forks(self) -> bool:
        """Whether the kernel can be a fork: the same interpreter, and nothing that has to stand in its environment at exec."""
        return self.command[:3] == [sys.executable, "-m", "ipykernel_launcher"]

    def preload(self) -> None:
        for module in PRELOADED if self.forks() else ():
            with contextlib.suppress(ImportError):  # of another version; the kernel itself says what it lacks
                importlib.import_module(module)

    def order(self) -> "dict[str, Any]":
        """The server's; one to end where the folder has been removed, since no other could ever come."""
        try:
            os.stat(self.folder)
        except FileNotFoundError:
            return {"do": "end"}
        except OSError:  # a file system that is away comes back
            return {}
        return read(self.folder / "order.json")

    def report(self, state: str, **more: Any) -> None:
        about = {"host": socket.gethostname(), "ip": self.ip, "job": os.environ.get("SLURM_JOB_ID", "")}
        self.last = {"start": self.start, "state": state, **about, **more}
        with contextlib.suppress(FileNotFoundError):  # the folder has been removed: nobody reads it
            write(self.folder / "status.json", self.last)

    def pause(self, seconds: float) -> None:
        """Until a signal comes, at most so long."""
        if select.select([self.awake], [], [], seconds)[0]:
            os.read(self.awake, 4096)

    def next_start(self) -> bool:
        """Wait for the order to start a kernel. False when the job is to end: ordered, asked by the scheduler, or left alone."""
        began = time.monotonic()
        while not self.ended:
            order, age = self.order(), time.monotonic() - began
            if order.get("do") == "end" or age > self.seed["grace_s"]:
                return False
            if order.get("start", 0) > self.start:
                self.start = order["start"]
                return True
            self.pause(EXPECTING_S if age < ATTENTIVE_S else QUIET_S)
        return False

    def fork(self) -> int:
        """0 in the new kernel's process, which has a session of its own; its number in the launcher."""
        keys = {name: self.seed[name] for name in ("key", "curve_publickey", "curve_secretkey")}
        address = {"transport": "tcp", "ip": self.ip, "signature_scheme": "hmac-sha256"}
        write(self.folder / "kernel.json", {**address, **keys, **self.ports})
        if threading.active_count() > 1:
            sys.exit("The launcher has threads, which do not survive a fork.")
        self.kernel = os.fork()
        if self.kernel == 0:
            self._become_a_session()
        return self.kernel

    def _become_a_session(self) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        order = self.order()
        os.environ.update({"JPY_PARENT_PID": str(os.getppid()), **order.get("env", {})})
        os.environ.pop("SLURM_JOB_NAME", None)  # it holds the kernel's id; programs of the user's take it for theirs
        wanted = order.get("cwd") or ""
        os.chdir(wanted if os.path.isdir(wanted) else Path.home())

    def watch(self) -> None:
        """Until the kernel has ended, by itself or by order: tell its ports, then how it ended."""
        began, told, claimed = time.monotonic(), 0.0, False
        while (status := self._exited()) is None:
            if not told and self._listens():
                self.report("running", pid=self.kernel, **self.ports)
                told = time.monotonic()
            order = self.order()
            claimed = claimed or bool(order.get("claimed"))
            if told and not claimed and time.monotonic() - told > self.seed["grace_s"]:
                self.ended = True  # nobody took the kernel: its server is gone
            if self.ended or order.get("do") == "end":
                status = self._stop(signal.SIGTERM)
                break
            if order.get("do") == "kill" or order.get("start", 0) > self.start:
                status = self._stop(signal.SIGKILL)
                break
            self.pause(EXPECTING_S if not told and time.monotonic() - began < 60 else QUIET_S)
        self._signal(signal.SIGKILL)  # what the kernel left behind
        code = os.waitstatus_to_exitcode(status)
        if not told or (code > 0 and time.monotonic() - told < SHORT_LIFE_S):
            self.ports = dict.fromkeys(PORTS, 0)  # perhaps somebody else has one of them by now
        self.report("exited", code=code, signal=signal.Signals(-code).name if code < 0 else "")

    def _listens(self) -> bool:
        """Whether the kernel has told its ports, and is there. It must talk nothing but CurveZMQ."""
        seen = read(self.folder / "kernel.json")
        ports = {port: seen.get(port, 0) for port in PORTS}
        try:
            encrypted = all(ports.values()) and demands_curve(self.ip, ports["shell_port"])
        except OSError:  # the ports of the start before, which it has not bound yet
            return False
        if all(ports.values()) and not encrypted:
            self._stop(signal.SIGKILL)
            sys.exit(f"{self.command[0]} listens without encryption. On a node only kernels that know CurveZMQ may run.")
        if encrypted:
            self.ports = ports
        return encrypted

    def _exited(self) -> "int | None":
        pid, status = os.waitpid(self.kernel, os.WNOHANG)
        return status if pid else None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or not yet a session of its own
            os.killpg(self.kernel, number)

    def _stop(self, number: signal.Signals) -> int:
        for chosen, patience_s in ((number, POLITE_S), (signal.SIGKILL, PATIENCE_S)):
            self._signal(chosen)
            last = time.monotonic() + patience_s
            while time.monotonic() < last:
                if (status := self._exited()) is not None:
                    return status
                self.pause(EXPECTING_S)
        sys.exit(f"Process {self.kernel} does not end, even by SIGKILL: it waits for a device or file system.")

    def become(self) -> None:
        """In the fork: be the kernel."""
        if not self.forks():
            try:
                os.execvp(self.command[0], self.command)
            except OSError as error:
                sys.exit(f"{self.command[0]} cannot be executed on {socket.gethostname()}: {error.strerror}.")
        sys.argv = ["ipykernel_launcher", *self.command[3:]]
        runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)


def main(folder: Path) -> None:
    launcher = Launcher(folder)
    launcher.preload()
    while launcher.next_start():
        if launcher.fork() == 0:
            launcher.become()
            return
        launcher.watch()
    launcher.report("ended", code=launcher.last.get("code", 0), signal=launcher.last.get("signal", ""))


if __name__ == "__main__":
    del sys.path[0]  # the folder of this script is no place to import from
    main(Path(sys.argv[1]))
