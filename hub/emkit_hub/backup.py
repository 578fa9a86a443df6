"""`emkit-hub backup`: a copy of what a hub cannot be without, made while it runs.

FOLDER/DATE/site.toml            the settings
FOLDER/DATE/secrets/ ports.json  with them, running sessions find the next hub, and people stay logged in
FOLDER/DATE/hub.sqlite           or hub.dump, by pg_dump, for PostgreSQL
"""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import Settings


class BackupError(RuntimeError):
    """A copy that could not be made: what, and why."""


def backup(settings: Settings, settings_file: Path | None, folder: DataFolder, into: Path) -> Path:
    """The new folder below `into`, readable for this account alone. BackupError leaves none behind."""
    made = into / time.strftime("%Y-%m-%dT%H%M%S")
    unfinished = into / f"unfinished-{made.name}"
    try:
        unfinished.mkdir(mode=0o700)
        shutil.copytree(folder.path / "secrets", unfinished / "secrets")
        shutil.copy(folder.path / "ports.json", unfinished)
        if settings_file is not None:
            shutil.copy(settings_file, unfinished / "site.toml")
        if settings.database:
            _dump(make_url(settings.database), unfinished / "hub.dump")
        else:
            with closing(sqlite3.connect(folder.database)) as source, closing(sqlite3.connect(unfinished / "hub.sqlite")) as copy:
                source.backup(copy)
        unfinished.rename(made)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"No backup was made in {into}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return made


def _dump(address: URL, file: Path) -> None:
    """PostgreSQL's own copy, without a password on a command line."""
    if not address.drivername.startswith("postgresql"):
        raise BackupError(f"Only SQLite and PostgreSQL can be copied here, not {address.drivername}: use that database's own tool.")
    options: Mapping[str, str | tuple[str, ...]] = address.query
    host = address.host or str(options.get("host", ""))
    words = {"--host": host, "--port": str(address.port or ""), "--username": address.username or "", "--dbname": address.database}
    command = [
        "pg_dump",
        "--no-password",
        "--format=custom",
        f"--file={file}",
        *(f"{name}={word}" for name, word in words.items() if word),
    ]
    environment = {**os.environ, **({"PGPASSFILE": str(options["passfile"])} if "passfile" in options else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BackupError(f"pg_dump: {done.stderr.strip()}")
