"""The first process of a kernel's job, with kernels of our own making: what it refuses, and when it gives its allocation back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq
from emkit_spawner.kernels import launcher
from emkit_spawner.kernels.launcher import demands_curve, read, write

# A kernel without encryption: five plain sockets, told as a kernel tells them
PLAIN = """
import json, sys, time, zmq
context = zmq.Context()
told = json.load(open(sys.argv[1]))
sockets = {name: context.socket(zmq.ROUTER) for name in told if name.endswith("_port")}
for name, socket in sockets.items():
    told[name] = socket.bind_to_random_port("tcp://127.0.0.1")
json.dump(told, open(sys.argv[1], "w"))
time.sleep(600)
"""


def prepared(folder: Path, *command: str, **order: Any) -> Path:
    """A kernel's folder as a server leaves it."""
    folder.mkdir(mode=0o700)
    keys = {"key": "k", "curve_publickey": "p", "curve_secretkey": "s"}
    write(folder / "seed.json", {"command": list(command), "grace_s": 0.2, "server_host": "127.0.0.1", **keys})
    write(folder / "status.json", {})
    write(folder / "order.json", {"start": 1, "do": "run", "cwd": str(folder), "env": {}, **order})
    return folder


def launch(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, launcher.__file__, str(folder)], capture_output=True, text=True, timeout=60)


def test_a_kernel_without_encryption_is_ended_at_once(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    folder = prepared(tmp_path / "kernel", sys.executable, str(tmp_path / "plain.py"), "{connection_file}")
    done = launch(folder)
    assert done.returncode != 0 and "listens without encryption" in done.stderr
    assert read(folder / "status.json") == {}  # nobody is told to connect


def test_a_kernel_that_ends_is_told_with_its_code_and_its_job_is_kept_only_for_a_while(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "kernel", sys.executable, "-c", "import sys; sys.exit(7)")
    assert launch(folder).returncode == 0
    status = read(folder / "status.json")
    assert (status["state"], status["code"], status["start"]) == ("ended", 7, 1)


def test_a_kernel_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "kernel", "/no/such/kernel")
    done = launch(folder)
    assert read(folder / "status.json")["code"] != 0 and "/no/such/kernel cannot be executed on" in done.stderr


def test_a_job_that_comes_when_nobody_wants_it_any_more_ends_at_once(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "kernel", sys.executable, "-c", "open('ran', 'w')", do="end")
    assert launch(folder).returncode == 0
    assert not (folder / "ran").exists()


def test_a_job_whose_folder_is_removed_ends(tmp_path: Path) -> None:
    remove = f"import shutil, time; shutil.rmtree({str(tmp_path / 'kernel')!r}); time.sleep(600)"
    assert launch(prepared(tmp_path / "kernel", sys.executable, "-c", remove)).returncode == 0


def test_a_folder_that_the_node_does_not_see_is_named(tmp_path: Path) -> None:
    done = launch(tmp_path / "elsewhere")
    assert done.returncode == 1 and "need a folder that the server and the nodes share" in done.stderr


def test_keys_that_others_may_read_are_not_used(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "kernel", sys.executable, "-c", "open('ran', 'w')")
    (folder / "seed.json").chmod(0o640)
    done = launch(folder)
    assert done.returncode == 1 and "must be 0600" in done.stderr and not (folder / "ran").exists()


def test_files_are_rewritten_in_place_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    write(file, {"n": 1})
    number = file.stat().st_ino
    write(file, {"n": 2})
    assert (file.stat().st_ino, file.stat().st_mode & 0o777, read(file)) == (number, 0o600, {"n": 2})
    file.write_text(json.dumps({"n": 3})[:-1])
    assert read(file) == {} == read(tmp_path / "none.json")


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_greeting_tells_whether_a_socket_is_encrypted(encrypted: bool) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        if encrypted:
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        assert demands_curve("127.0.0.1", port) is encrypted
