"""The fork server: a process that has imported everything once and becomes one kernel per request.

Run as `python -m emkit_hub.dashboards.forkserver FD CONFIG`, with the end of a SOCK_SEQPACKET pair as FD. It answers
`ready`, then to each request `{"argv", "env", "cwd"}` the process id of the new kernel with its pidfd attached. It forks
only while it has a single thread, no zmq context and no event loop: none of the three survives a fork.
"""

import array
import gc
import importlib
import json
import logging
import os
import random
import signal
import socket
import sys
import warnings
from typing import Any

import ipykernel.debugger

from emkit_hub.dashboards.confinement import Limits, confine, hide, landlock_version, limit

_KERNEL_MODULES = ("ipykernel.kernelapp", "ipykernel.ipkernel", "IPython")
_WITHOUT_HISTORY = "--HistoryManager.enabled=False"

log = logging.getLogger("emkit.dashboards.forkserver")


def main(arguments: list[str]) -> None:
    """Import, say `ready`, and fork a kernel for each request until the service closes its end."""
    logging.basicConfig(format="[%(name)s] %(message)s", level=logging.INFO)
    hide()
    requests = socket.socket(fileno=int(arguments[0]))
    config = json.loads(arguments[1])
    _import_all(config["preload"])
    if landlock_version() == 0:
        log.warning("this system has no Landlock: kernels can read all that the account can")
    gc.collect()
    gc.freeze()  # pages that the collector never writes to stay shared with every kernel
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the operating system reaps; the service watches the pidfd
    requests.send(b"ready")
    while data := requests.recv(1 << 20):
        request = json.loads(data)
        child = os.fork()
        if child == 0:
            requests.close()
            _become_kernel(request, config)
            return
        handle = os.pidfd_open(child)
        requests.sendmsg([str(child).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))])
        os.close(handle)


def _import_all(preload: list[str]) -> None:
    """Import what a kernel needs and the site's `preload`, but nothing that starts a thread."""
    for module in _KERNEL_MODULES:
        importlib.import_module(module)
    ipykernel.debugger._is_debugpy_available = False  # no debugger in a dashboard: its set-up takes time, and guests have no code
    for module in preload:
        if _try_in_child(module) == "safe":
            importlib.import_module(module)
    for module in _try_in_child(None).split():  # what is imported only while a kernel comes up
        if module not in sys.modules and _try_in_child(module) == "safe":
            importlib.import_module(module)
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(
            f"the fork server has {threads} threads and cannot fork safely; take the module that starts one out of `preload`"
        )


def _try_in_child(module: str | None) -> str:
    """In a fork: `safe` when importing `module` starts no thread; for None the modules that a kernel imports late."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        answer = "fails at import"
        try:
            if module is None:
                answer = " ".join(_late_modules())
            else:
                importlib.import_module(module)
                threads = len(os.listdir("/proc/self/task"))
                answer = "safe" if threads == 1 else f"starts {threads - 1} threads"
        except ImportError as error:
            answer = f"cannot be imported: {error}"
        finally:
            os.write(write, answer.encode()[:60_000])
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    if module is not None and answer != "safe":
        log.info("%s is left to the kernels: it %s", module, answer)
    return answer


def _late_modules() -> list[str]:
    from ipykernel.kernelapp import IPKernelApp

    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    before = set(sys.modules)
    file = os.path.abspath(f"trial-{os.getpid()}.json")
    IPKernelApp.instance().initialize(["-f", file, _WITHOUT_HISTORY])
    os.unlink(file)
    return sorted(name for name in set(sys.modules) - before if "pydev" not in name and "debugpy" not in name)


def _become_kernel(request: dict[str, Any], config: dict[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    limit(Limits(**config["limits"]))
    confine(config["readable"], [request["cwd"], "/dev/null", "/dev/zero", "/dev/full"])
    random.seed()  # else every guest draws the same numbers
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    warnings.filterwarnings(
        "ignore", "Couldn't bind IOPub Pipe"
    )  # a kernel may not listen, and prints of its children are not shown
    _run_kernel(request["argv"])


def _run_kernel(argv: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel", *argv]
    app = IPKernelApp.instance()
    app.initialize([*argv, _WITHOUT_HISTORY])
    if "ipywidgets" in sys.modules:  # it registers itself at import, when there was no kernel yet
        sys.modules["ipywidgets"].register_comm_target()
    os.unlink(argv[argv.index("-f") + 1])  # the key in it signs messages: nobody else needs it
    app.start()


if __name__ == "__main__":
    main(sys.argv[1:])
