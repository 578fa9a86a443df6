# A dashboard that does whatever a guest types: what a careless template could open, to show that the walls around it hold.
import ctypes
import json
import os
import random
import resource
import socket
import time
from typing import Any

import ipywidgets
import numpy
from IPython.display import display


def attempt(action: Any, *arguments: Any) -> str:
    try:
        return repr(action(*arguments))
    except (OSError, MemoryError) as error:
        return type(error).__name__


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, size: int) -> None:
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(b"x" * min(size, 2**20))


def processor(seconds: float) -> None:
    while time.process_time() < seconds:
        pass


def bomb() -> int:
    children = []
    for _ in range(100):
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            time.sleep(600)
        children.append(child)
    return len(children)


def stray() -> int:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    return child


hoard: list[bytes] = []
actions: dict[str, Any] = {
    "environment": lambda: dict(os.environ),
    "read": read,
    "list": os.listdir,
    "write": write,
    "connect": lambda port: socket.create_connection(("127.0.0.1", port), 5),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "kill": os.kill,
    "trace": lambda pid: ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0),
    "limits": lambda: [resource.getrlimit(what)[0] for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)],
    "random": lambda: (random.random(), numpy.random.random()),
    "where": lambda: (os.getcwd(), os.path.expanduser("~"), os.getpid(), os.getppid()),
    "memory": lambda gb: hoard.append(b"x" * int(gb * 2**30)),
    "processor": processor,
    "bomb": bomb,
    "stray": stray,
    "print": lambda count: print("x" * count),
    "loop": lambda: time.sleep(600),
}
command, answer = ipywidgets.Text(description="command"), ipywidgets.Text(description="answer")


def obey(change: Any) -> None:
    name, *arguments = json.loads(change.new)
    answer.value = json.dumps([name, attempt(actions[name], *arguments)])


command.observe(obey, "value")
display(command, answer)  # type: ignore[no-untyped-call]
