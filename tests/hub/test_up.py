"""`scripts/up` from its first word to Ctrl-C, with nothing left running."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.visitor import Visitor
from emkit_jobs.processes import carrying
from emkit_jobs.scheduler import JOB_VARIABLE

pytestmark = pytest.mark.hub
ROOT = Path(__file__).parents[2]
SETTINGS = "[dashboards]\npool = 0\n[lab]\nnotebook = ''\n"


def command(data: Path, port: int) -> list[str]:
    (data.parent / "site.toml").write_text(SETTINGS)
    settings = str(data.parent / "site.toml")
    return [sys.executable, "-m", "emkit_hub.up", "--data", str(data), "--port", str(port), "--settings", settings]


@contextmanager
def up(data: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A running `scripts/up` that has said where it is."""
    with subprocess.Popen(
        command(data, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"emkit is up: http://127.0.0.1:{port} "), line + (process.stderr.read() if process.stderr else "")
        yield process
        process.kill()


def jobs(data: Path) -> set[str]:
    return {folder.name for part in ("jobs", "services") for folder in (data / part).iterdir() if carrying(folder.name)}


def refused(data: Path, port: int, **environment: str) -> str:
    done = subprocess.run(command(data, port), capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    assert done.returncode == 3
    return done.stderr


def test_ctrl_c_ends_everything_that_was_started_servers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed in a terminal of an emkit server, `scripts/up` is part of that server's job; its own jobs carry their own names."""
    monkeypatch.setenv(JOB_VARIABLE, "outer")
    data, port = tmp_path / "a folder with ünicode", free_ports(1)[0]
    with up(data, port) as process, Visitor(f"http://127.0.0.1:{port}") as owner:
        folder = DataFolder(data)
        assert owner.login("owner", folder.owner_password)
        assert owner.start_server()[-1]["ready"]
        assert carrying("outer") == {process.pid}
        assert {name.partition("-")[0] for name in jobs(data)} == {"hub", "proxy", "emkit"}
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=90)[0]
        assert process.returncode == 0 and "Stopped." in said
    assert jobs(data) == set()
    socket.create_server(("127.0.0.1", port)).close()


def test_what_a_killed_start_left_is_taken_over_and_its_servers_stay(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_ports(1)[0]
    folder = DataFolder(data)
    with up(data, port) as process, Visitor(f"http://127.0.0.1:{port}") as owner:
        assert owner.login("owner", folder.owner_password)
        assert owner.start_server()[-1]["ready"]
        with owner.kernel() as kernel:
            kernel.run("kept = 1")
        assert "emkit already runs on the data folder" in refused(data, free_ports(1)[0])
        process.kill()
        process.wait()
        server = {name for name in jobs(data) if name.startswith("emkit-")}
        with up(data, port) as second:
            last = time.monotonic() + 120
            while not owner.call("GET", "/hub/api/users/owner").json()["servers"].get("", {}).get("ready"):
                assert time.monotonic() < last
                time.sleep(0.1)
            with owner.kernel(kernel.id) as again:
                assert again.run("print(kept)") == "1\n"
            assert {name for name in jobs(data) if name.startswith("emkit-")} == server
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=90)
    assert jobs(data) == set()


def test_secrets_are_made_once_and_readable_for_nobody_else(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "first"), DataFolder(tmp_path / "second")
    first.prepare()
    second.prepare()
    passwords = first.owner_password, first.workshop_password, first.proxy_token
    first.prepare()
    assert (first.owner_password, first.workshop_password, first.proxy_token) == passwords
    assert len({*passwords, second.owner_password, second.workshop_password, second.proxy_token}) == 6
    assert len(first.owner_password) >= 32 and len(first.workshop_password) >= 12
    for file in (*(first.path / "secrets").iterdir(), first.database):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for closed in ("secrets", "home", "jobs", "services"):
        assert stat.S_IMODE((first.path / closed).stat().st_mode) == 0o700


def test_a_port_in_use_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 cannot be used" in refused(tmp_path / "data", port)


def test_a_wrong_key_in_the_settings_is_named(tmp_path: Path) -> None:
    arguments = command(tmp_path / "data", free_ports(1)[0])
    (tmp_path / "site.toml").write_text("[lab]\ncolour = 1\n")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "key lab.colour: Extra inputs are not permitted" in done.stderr


def test_help_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    for part in ("scripts", "hub/emkit_hub"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([tmp_path / "scripts/up", "--slurm", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: scripts/up ") and not (tmp_path / ".venv").exists(), done.stderr
