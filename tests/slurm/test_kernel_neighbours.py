"""Two Unix accounts on one node: neither reaches the other's kernel, though the network and the process table are the same."""

import json
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.kernels.light_server import LightServer, install
from tests.slurm.cluster import Cluster

ANN, BOB = "emkit-test-ann", "emkit-test-bob"
INTRUDER = Path(__file__).parents[1] / "kernels/intruder.py"
KERNELS = """
slurm_conf = "{conf}"
folder = "{folder}"
[kernels.small]
title = "Small"
memory_mb = 300
"""


@pytest.fixture(scope="module")
def accounts(cluster: Cluster) -> Iterator[None]:
    """Two accounts of the machine, for this module alone."""
    made = []
    try:
        for name in (ANN, BOB):
            subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/bash", name], check=True)
            made.append(name)
        yield
    finally:
        for name in made:
            subprocess.run(["userdel", name], check=True)


@pytest.fixture(scope="module")
def server(accounts: None, cluster: Cluster) -> Iterator[LightServer]:
    """Ann's, in a home of her own: pytest closes its folders to other accounts whenever another run of it begins."""
    with tempfile.TemporaryDirectory(prefix="emkit-ann-") as name:
        home = Path(name)
        home.chmod(0o755)
        environment = install(KERNELS.format(conf=cluster.environment["SLURM_CONF"], folder=home / "kernels"), home)
        for path in (home, *home.rglob("*")):
            shutil.chown(path, ANN)
        found = LightServer(home, {**environment, "USER": ANN}, user=ANN)
        try:
            found.start()
            yield found
        finally:
            found.stop()


def as_bob(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, user=BOB, group=BOB, extra_groups=[], capture_output=True, text=True, cwd="/")


def test_neither_files_nor_processes_nor_ports_give_a_kernel_away(server: LightServer, cluster: Cluster) -> None:
    kernel = server.open_notebook("emkit-small")["kernel"]["id"]
    folder = server.home / "kernels" / kernel
    with server.channels(kernel) as channels:
        who, pid = channels.run("import getpass, os; print(getpass.getuser(), os.getpid())").split()
        assert who == ANN
        assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {pwd.getpwnam(ANN).pw_uid}
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in folder.glob("*.json") if path.stat().st_mode & 0o777 != 0o600] == []

        seed, status = (json.loads((folder / name).read_text()) for name in ("seed.json", "status.json"))
        job = status["job"]
        shown = cluster.run("scontrol", "show", "job", "-dd", job) + cluster.run("scontrol", "write", "batch_script", job, "-")
        public = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]  # what everybody sees
        private = Path(f"/proc/{pid}/environ").read_bytes()
        for secret in (seed["key"], seed["curve_publickey"], seed["curve_secretkey"]):
            assert secret not in shown
            assert not any(secret.encode() in words for words in (*public, private))

        for path in (folder / "seed.json", folder / "kernel.json", Path(f"/proc/{pid}/environ"), Path(f"/proc/{pid}/mem")):
            assert "Permission denied" in as_bob("cat", str(path)).stderr
        assert "not permitted" in as_bob("kill", pid).stderr.lower()
        refused = subprocess.run(
            ["scancel", job], user=BOB, capture_output=True, text=True, env={**server.environment, **cluster.environment}
        )
        assert "Access/permission denied" in refused.stderr

        written = "/tmp/emkit-test-written-by-bob"
        tried = [sys.executable, str(INTRUDER), status["ip"], str(status["shell_port"]), written]
        wrong = zmq.curve_keypair()[0].decode()
        assert [as_bob(*tried, *key).stdout.strip() for key in ([], [wrong], [seed["curve_publickey"]])] == [
            "refused",
            "refused",
            "ignored",
        ]
        assert channels.run(f"print(os.path.exists({written!r}))") == "False\n"
    server.call("DELETE", f"api/kernels/{kernel}")
