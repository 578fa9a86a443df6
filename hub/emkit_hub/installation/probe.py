"""Runs on a node, as a job of `emkit-hub check`: what it sees from there, as JSON beside itself. Standard library only.

    python probe.py TOKEN_FILE ANSWER_FILE HUB_ADDRESS HUB_PORT

It listens at a port of its own for a few seconds, so that the hub can try the way from its host to the node.
"""

import importlib.util
import json
import os
import socket
import sys
import time
from pathlib import Path

LISTENS_S = 20.0
CONNECTS_S = 5.0
NEEDED = ("emkit_spawner.singleuser", "jupyterhub.singleuser", "jupyterlab")


def missing() -> list[str]:
    """The modules of a server that this Python does not find."""
    lacking = []
    for name in NEEDED:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            lacking.append(name)
    return lacking


def way_to(address: str, port: int) -> str:
    """Why there is no connection to the hub; "" when there is one."""
    try:
        socket.create_connection((address, port), timeout=CONNECTS_S).close()
    except OSError as error:
        return str(error)
    return ""


def read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"


def main(token_file: str, answer_file: str, address: str, port: str) -> None:
    listener = socket.create_server(("", 0))
    answer = {
        "host": socket.gethostname(),
        "time": time.time(),
        "token": read(Path(token_file)),
        "missing": missing(),
        "no_way": way_to(address, int(port)),
        "port": listener.getsockname()[1],
    }
    new = Path(answer_file + ".new")
    new.write_text(json.dumps(answer))
    os.chmod(new, 0o644)  # the hub's account reads it, not the job's
    new.rename(answer_file)
    listener.settimeout(LISTENS_S)
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return  # nobody came: the hub says so


if __name__ == "__main__":
    main(*sys.argv[1:])
