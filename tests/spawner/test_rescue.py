"""A home that is full or read-only, and settings of one's own that break every server: the user gets in, and reads why."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from emkit_spawner import rescue

from tests.spawner.plain_hub import PlainHub, plain_hub

LINES = """
import sys
c.JupyterHub.spawner_class = "emkit-local"
c.LocalSpawner.jobs_folder = {jobs!r}
c.JobSpawner.home_folder = {homes!r} + "/{{username}}"
c.JobSpawner.profiles = {{"small": {{"title": "Small"}}}}
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}  # all start at once
"""
BROKEN = {
    "config": (".jupyter/jupyter_server_config.py", "raise SystemExit('my own settings')"),
    "package": ("jupyter_server.py", "raise ImportError('my own package')"),  # Python looks where it starts first
}


@contextmanager
def mounted(*command: str, at: Path) -> Iterator[None]:
    at.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *command, str(at)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to mount a small home here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A home of 512 KiB with something in it, and no room for anything else."""
    home = tmp_path / "homes/full"
    with mounted("-t", "tmpfs", "-o", "size=512k", "tmpfs", at=home):
        (home / "mine.txt").write_text("mine")
        with suppress(OSError):
            (home / "data").write_bytes(bytes(2**20))
        yield home


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "homes/readonly"
    with mounted("-t", "tmpfs", "-o", "ro", "tmpfs", at=home):
        yield home


def test_what_is_wrong_with_a_home_is_said(full: Path, read_only: Path, tmp_path: Path) -> None:
    assert rescue.trouble(tmp_path) == ""
    assert rescue.trouble(full) == "its disk is full"
    assert rescue.trouble(read_only) == "it is read-only"
    assert rescue.trouble(tmp_path / "none") == "there is no such folder"
    assert sorted(path.name for path in full.iterdir()) == ["data", "mine.txt"]


def test_the_environment_reads_nothing_of_the_home(tmp_path: Path) -> None:
    mine = {"HOME": str(tmp_path), "PATH": "/usr/bin", "PYTHONPATH": str(tmp_path), "BASH_ENV": str(tmp_path / "profile")}
    made = rescue.environment("its disk is full", mine, tmp_path / "scratch")
    assert (made["HOME"], made["JUPYTERHUB_ROOT_DIR"], made["PYTHONNOUSERSITE"]) == (str(tmp_path), str(tmp_path), "1")
    assert {"PYTHONPATH", "BASH_ENV"}.isdisjoint(made)
    assert all(Path(made[name]).is_relative_to(tmp_path / "scratch") for name in made if name.startswith("JUPYTER_"))
    assert rescue.environment("", {"HOME": "/none"}, tmp_path)["JUPYTERHUB_ROOT_DIR"] == str(tmp_path)


@pytest.mark.hub
def test_the_user_gets_in_and_reads_why(full: Path, tmp_path: Path) -> None:
    homes = tmp_path / "homes"
    for user, (file, text) in BROKEN.items():
        (homes / user / file).parent.mkdir(parents=True)
        (homes / user / file).write_text(text)
    (homes / "fine").mkdir()
    expected = {
        "full": "its disk is full",
        "config": "my own settings",
        "package": "my own package",
        "fine": "You asked for a start without your own settings.",
    }
    with plain_hub(tmp_path, LINES.format(jobs=str(tmp_path / "jobs"), homes=str(homes))) as hub:
        for user in expected:
            hub.call("POST", f"/users/{user}")
            options = {"rescue": True} if user == "fine" else {}
            assert hub.call("POST", f"/users/{user}/server", options).status_code in (201, 202)
        for user, why in expected.items():
            assert why in reason(hub, user)
        assert hub.call("GET", "/users/fine").json()["servers"][""]["user_options"] == {"rescue": True}
        assert contents(hub, "full") == ["data", "mine.txt"]  # Lab opens the home all the same


def reason(hub: PlainHub, user: str) -> str:
    """Why this server is a rescue, as Lab shows it."""
    return str(ask(hub, user, "emkit/session")["rescue"])


def contents(hub: PlainHub, user: str) -> list[str]:
    return sorted(entry["name"] for entry in ask(hub, user, "api/contents")["content"])  # type: ignore[attr-defined]


def ask(hub: PlainHub, user: str, path: str) -> dict[str, object]:
    """What the user's server answers, once it is up."""
    hub.wait_ready(user)
    token = hub.call("POST", f"/users/{user}/tokens", {}).json()["token"]
    answer = requests.get(f"{hub.url}/user/{user}/{path}", headers={"Authorization": f"token {token}"}, timeout=60)
    assert answer.ok, answer.text
    found: dict[str, object] = answer.json()
    return found
