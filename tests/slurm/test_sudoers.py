"""The sudoers file: valid, and nothing more than submit and cancel, tried by a real account against a real Slurm."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from emkit_hub.sudoers import SudoersError, sudoers

from tests.slurm.accounts import Accounts, accounts, allowed, open_folder
from tests.slurm.cluster import Cluster


def test_visudo_takes_the_file(tmp_path: Path) -> None:
    if shutil.which("visudo") is None:
        pytest.skip("visudo is not installed")
    file = tmp_path / "emkit-hub"
    file.write_text(sudoers("jupyterhub", "em-users", path=_commands(tmp_path / "a, b=c")))
    done = subprocess.run(["visudo", "--check", "--strict", f"--file={file}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr + file.read_text()


@pytest.mark.parametrize(
    ("account", "group", "said"),
    [
        ("root", "users", "runs as root needs no sudoers file"),
        ("hub ALL=(ALL) NOPASSWD: ALL\n#", "users", "is no name of a Unix account"),
        ("hub", "users) NOPASSWD: ALL", "is no name of a Unix group"),
        ("%hub", "users", "is no name of a Unix account"),
    ],
)
def test_what_would_open_more_is_refused(tmp_path: Path, account: str, group: str, said: str) -> None:
    with pytest.raises(SudoersError, match=said):
        sudoers(account, group, path=_commands(tmp_path / "bin"))


def test_without_slurm_it_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(SudoersError, match="sbatch, scancel cannot be found"):
        sudoers("hub", "users", path=str(tmp_path))


def _commands(folder: Path) -> str:
    folder.mkdir()
    for name in ("sbatch", "scancel"):
        (folder / name).touch(mode=0o755)
    return str(folder)


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Accounts]:
    with open_folder() as folder, accounts(folder, cluster.environment) as found, allowed(found, folder / "log"):
        yield found


def ask(made: Accounts, *words: str, account: str = "") -> subprocess.CompletedProcess[str]:
    """What sudo says to the hub's account (or another one) with these words."""
    return subprocess.run(
        ["sudo", "--non-interactive", *words],
        user=account or made.hub,
        group=account or made.hub,
        extra_groups=(),
        env={"PATH": os.defpath, "TOKEN": "a-token-nobody-may-read", **made.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
    )


@pytest.mark.parametrize("command", ["sbatch", "scancel", "/usr/bin/sbatch"])
def test_the_hub_submits_and_cancels_as_its_users(made: Accounts, command: str) -> None:
    for user in (made.ann, made.bob):
        done = ask(made, f"--user={user}", "--preserve-env", "--", command, "--version")
        assert done.returncode == 0 and done.stdout.startswith("slurm"), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--user=ANN", "--", "true"],
        ["--user=ANN", "--", "bash", "-c", "id"],
        ["--user=ANN", "--", "sh", "-c", "sbatch --version"],
        ["--user=ANN", "--", "env", "sbatch", "--version"],
        ["--user=ANN", "--", "srun", "id"],
        ["--user=ANN", "--", "squeue"],
        ["--user=ANN", "--shell"],
        ["--user=ANN", "--login"],
        ["--user=ANN", "--edit", "/etc/hostname"],
        ["--user=ANN", "--group=root", "--", "sbatch", "--version"],
        ["--user=root", "--", "sbatch", "--version"],
        ["--user=#0", "--", "sbatch", "--version"],
        ["--user=#-1", "--", "sbatch", "--version"],
        ["--user=#4294967295", "--", "sbatch", "--version"],
        ["--", "sbatch", "--version"],
        ["--user=EVE", "--", "sbatch", "--version"],
        ["--user=HUB", "--", "sbatch", "--version"],
        ["--user=daemon", "--", "scancel", "--version"],
        ["--user=ANN", "--", "./sbatch", "--version"],
        ["--user=ANN", "--", "/tmp/../usr/bin/id"],
        ["--user=ANN", "--chdir=/root", "--", "sbatch", "--version"],
    ],
    ids=" ".join,
)
def test_everything_else_is_refused(made: Accounts, words: list[str]) -> None:
    names = {"ANN": made.ann, "EVE": made.eve, "HUB": made.hub}
    done = ask(made, *(_named(word, names) for word in words))
    assert done.returncode != 0 and done.stdout == "", done


def _named(word: str, names: dict[str, str]) -> str:
    for short, name in names.items():
        word = word.replace(f"--user={short}", f"--user={name}")
    return word


def test_it_opens_nothing_to_another_account(made: Accounts) -> None:
    assert ask(made, f"--user={made.bob}", "--", "sbatch", "--version", account=made.ann).returncode != 0


def test_what_a_job_gets_does_not_stand_in_sudos_log(made: Accounts) -> None:
    """sudo logs the values of variables that are kept by name, but not those of an environment kept as a whole."""
    log = made.homes / "log"
    assert ask(made, f"--user={made.ann}", "--preserve-env", "--", "sbatch", "--version").returncode == 0
    assert "sbatch" in log.read_text() and "a-token-nobody-may-read" not in log.read_text()
    assert ask(made, f"--user={made.ann}", "--preserve-env=TOKEN,SLURM_CONF", "--", "sbatch", "--version").returncode == 0
    assert "a-token-nobody-may-read" in log.read_text()  # the trap itself: the test would see it
