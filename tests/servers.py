"""Real Jupyter servers for tests, on a free port, that touch nothing of the account that runs them."""

import collections
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOKEN = "test-token"


@dataclass(frozen=True)
class Running:
    """`url` ends in a slash; `log` keeps the last lines that the server wrote."""

    url: str
    port: int
    log: collections.deque[str]


def scratch_environment(folder: Path) -> dict[str, str]:
    """An environment in which Jupyter neither reads nor writes anything of the account that runs the tests, nor asks for news."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    homes = {name: folder / name.lower() for name in names}
    for path in homes.values():
        path.mkdir(parents=True, exist_ok=True)
    overrides = homes["JUPYTER_CONFIG_DIR"] / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(exist_ok=True)
    overrides.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}))
    return {**os.environ, **{name: str(path) for name, path in homes.items()}, "HOME": str(folder)}


@contextmanager
def jupyter(
    module: str, *options: str, home: Path, environment: Mapping[str, str] = {}, python: str = sys.executable
) -> Iterator[Running]:
    """`python -m module` (jupyter_server, jupyterlab) with the extension emkit.server, up and ended with the context."""
    command = [python, "-m", module, "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.jpserver_extensions={'emkit.server': True}", *options]
    log: collections.deque[str] = collections.deque(maxlen=400)
    with subprocess.Popen(command, env={**scratch_environment(home), **environment}, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            found = None
            while found is None:
                line = server.stderr.readline()
                if not line:
                    raise RuntimeError(f"{module} did not start:\n{''.join(log)}")
                log.append(line)
                found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            drain = threading.Thread(target=log.extend, args=[server.stderr])
            drain.start()
            _wait_until_it_listens(server, int(found[1]))
            yield Running(found[0], int(found[1]), log)
        finally:
            server.terminate()
            server.wait(timeout=30)
        drain.join()


def _wait_until_it_listens(server: subprocess.Popen[str], port: int) -> None:
    """Jupyter logs its address a moment before it listens there, and nothing after."""
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"the server ended with {server.returncode}")
