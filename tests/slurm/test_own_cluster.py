"""`scripts/up --slurm` from its first word to Ctrl-C: a Slurm of its own, servers as its jobs, and nothing of it left."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emkit_hub.accounts import OWNER, owner_account
from emkit_hub.cluster import Cluster, ClusterError
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.own_cluster import NEIGHBOUR, check_possible, fitted
from emkit_hub.settings import Settings
from emkit_hub.visitor import Visitor

pytestmark = pytest.mark.hub
SITE = "[dashboards]\npool = 0\n[lab]\nnotebook = ''\n"


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    """Where other accounts can pass: munge has one, and so has the owner's server."""
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    with tempfile.TemporaryDirectory(prefix="emkit-slurm-") as name:
        Path(name).chmod(0o755)
        (Path(name) / "site.toml").write_text(SITE)
        yield DataFolder(Path(name) / "data")


@contextmanager
def up(folder: DataFolder, port: int) -> Iterator[subprocess.Popen[str]]:
    """A running `scripts/up --slurm` that has said where it is."""
    options = ["--slurm", "--data", str(folder.path), "--port", str(port), "--settings", str(folder.path.parent / "site.toml")]
    command = [sys.executable, "-m", "emkit_hub.up", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith(f"emkit is up: http://127.0.0.1:{port} "), line + process.stderr.read()
        yield process


def knowing(folder: DataFolder) -> set[str]:
    """The processes that know this folder: daemons of Slurm, jobs, the hub."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder.path) + b"/" in known:
                found.add(process.name)
    return found


def test_a_killed_start_is_taken_over_with_its_jobs_and_ctrl_c_ends_everything(folder: DataFolder) -> None:
    port = free_ports(1)[0]
    account = owner_account("owner")
    with Visitor(f"http://127.0.0.1:{port}") as owner:
        with up(folder, port) as process:
            assert owner.login(account or "owner", folder.owner_password)
            assert owner.start_server({"profile": "small"})[-1]["ready"]
            with owner.kernel() as kernel:
                told = kernel.run(
                    "import getpass, os; print(getpass.getuser(), os.environ['SLURM_JOB_ID'], os.getuid() != 0); kept = 1"
                )
                process.kill()
            process.wait()
        user, number, ordinary = told.split()
        assert (user, ordinary) == ((OWNER, "True") if account else (user, ordinary))
        with up(folder, port) as process:
            cluster = Cluster(folder.path / "slurm")  # finds the one that runs
            jobs = dict(line.split() for line in cluster.run("squeue", "--noheader", "--format=%i %j").splitlines())
            assert list(jobs.values()).count(NEIGHBOUR) == 1 and number in jobs
            with owner.kernel(kernel.id) as again:
                assert again.run("print(kept)") == "1\n"
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)
            assert process.returncode == 0 and "Stopped." in said[0], said
    assert knowing(folder) == set()


def test_a_sites_own_choices_stay(folder: DataFolder) -> None:
    folder.prepare()
    cluster = Cluster(folder.path / "slurm")
    given = {
        "title": "Ours",
        "profiles": {"one": {"title": "One"}},
        "announcement": "Hello",
        "lab": {"notebook": ""},
        "spawner": "x",
    }
    found = Settings.model_validate(fitted(given, folder, cluster, "ann"))
    assert (found.title, [*found.profiles], found.announcement) == ("Ours", ["one"], "Hello")
    assert (found.spawner, found.owner, found.one_account) == ("emkit-slurm", "ann", False)
    assert (found.slurm.sudo, found.slurm.listen, found.lab.home) == (True, "127.0.0.1", folder.home)
    alone = Settings.model_validate(fitted({}, folder, cluster, ""))
    assert (alone.owner, alone.one_account, alone.slurm.sudo) == ("owner", True, False)
    assert [*alone.profiles] == ["small", "large", "queued"] and "hub's own account" in alone.announcement


def test_a_folder_that_slurm_cannot_name_is_refused(folder: DataFolder) -> None:
    with pytest.raises(ClusterError, match="without spaces"):
        check_possible(DataFolder(folder.path / "a folder"))


def test_what_is_missing_is_named_with_the_line_to_type(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emkit_hub.own_cluster.SYSTEM", "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match="apt-get install -y --no-install-recommends slurm-wlm munge sudo"):
        check_possible(folder)
