"""A real PostgreSQL of Debian's package, in a folder of its own, on a Unix socket; its one password is in a file."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ACCOUNT = "postgres"  # PostgreSQL refuses to run as root
PATIENCE_S = 60.0


def programs() -> Path:
    """The folder of the newest PostgreSQL here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")
    return found[-1].parent


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Within: it runs. Yields the address of an empty database `emkit`; the password is in FOLDER/pgpass."""
    bin_folder, password = programs(), secrets.token_urlsafe(12)
    whose = {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": ()} if os.geteuid() == 0 else {}
    (folder / "pgpass").touch(mode=0o600)
    (folder / "pgpass").write_text(f"*:*:*:*:{password}\n")
    (store := folder / "postgres").mkdir(mode=0o755)
    (store / "password").write_text(password)
    if whose:
        for path in (store, store / "password"):
            shutil.chown(path, ACCOUNT, ACCOUNT)
    initdb = [str(bin_folder / "initdb"), "--pgdata", str(store / "data"), "--username=emkit", "--auth=scram-sha-256"]
    subprocess.run([*initdb, f"--pwfile={store / 'password'}", "--no-sync"], check=True, capture_output=True, cwd="/", **whose)  # type: ignore[call-overload]
    command = [
        str(bin_folder / "postgres"),
        "-D",
        str(store / "data"),
        "-k",
        str(store),
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
    ]
    with (folder / "postgres.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **whose) as server:  # type: ignore[call-overload]
        try:
            ask = [str(bin_folder / "createdb"), f"--host={store}", "--username=emkit", "emkit"]
            last = time.monotonic() + PATIENCE_S
            while subprocess.run(ask, env={"PGPASSFILE": str(folder / "pgpass")}, capture_output=True).returncode:
                if server.poll() is not None or time.monotonic() > last:
                    raise RuntimeError((folder / "postgres.log").read_text())
                time.sleep(0.1)
            yield f"postgresql+psycopg://emkit@/emkit?host={store}&passfile={folder / 'pgpass'}"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for those who are still connected
            server.wait(30)
