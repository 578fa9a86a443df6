"""The catalogue's memory: a small SQLite database beside the data, `.emkit/catalogue.sqlite`, so that files are looked into once.

Nothing is lost with it: damaged, of another version or gone, it is made anew from the files. Who may not write the folder works
on a copy in memory.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from emkit.catalogue.things import Found, Thing
from emkit.errors import PathError

HOME, FILE = ".emkit", "catalogue.sqlite"
VERSION = 1
PATIENCE_S = 20.0  # while somebody else writes it
TABLES = """
CREATE TABLE IF NOT EXISTS things (path TEXT PRIMARY KEY, seen TEXT NOT NULL, told TEXT NOT NULL, picture BLOB);
CREATE TABLE IF NOT EXISTS runs (scan TEXT PRIMARY KEY, folder TEXT NOT NULL);
"""
THING = TypeAdapter(Thing)
T = TypeVar("T")


class Store:
    """Things by their paths with a picture each, and the runs that were begun for scans. `read_only`: nothing is written."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.path, self._read_only = root / HOME / FILE, read_only
        self._open()

    def close(self) -> None:
        self._connection.close()

    def thing(self, found: Found, path: str) -> Thing | None:
        """What is known of it, if its files are as they were."""
        row = self._try(lambda db: db.execute("SELECT seen, told FROM things WHERE path = ?", (path,)).fetchone())
        return THING.validate_json(row[1]) if row and row[0] == found.seen else None

    def keep(self, found: Found, thing: Thing) -> None:
        told = THING.dump_json(thing).decode()
        self._write("INSERT OR REPLACE INTO things VALUES (?, ?, ?, NULL)", thing.path, found.seen, told)

    def forget_all_but(self, paths: Mapping[str, Thing]) -> None:
        known = self._try(lambda db: [path for (path,) in db.execute("SELECT path FROM things")])
        for path in known:
            if path not in paths:
                self._write("DELETE FROM things WHERE path = ?", path)

    def picture(self, path: str) -> bytes | None:
        """The PNG of a thing: empty where none can be made, None where none was made yet."""
        row = self._try(lambda db: db.execute("SELECT picture FROM things WHERE path = ?", (path,)).fetchone())
        return row[0] if row else None

    def keep_picture(self, path: str, png: bytes) -> None:
        self._write("UPDATE things SET picture = ? WHERE path = ?", png, path)

    def runs(self) -> dict[str, Path]:
        """The folder of the last run that was begun for each scan."""
        return {scan: Path(folder) for scan, folder in self._try(lambda db: db.execute("SELECT * FROM runs").fetchall())}

    def keep_run(self, scan: str, folder: Path) -> None:
        self._write("INSERT OR REPLACE INTO runs VALUES (?, ?)", scan, str(folder))

    def forget_run(self, scan: str) -> None:
        self._write("DELETE FROM runs WHERE scan = ?", scan)

    # ---- within ----

    def _open(self) -> None:
        self._connection = (None if self._read_only else self._on_disk()) or self._in_memory()

    def _on_disk(self) -> sqlite3.Connection | None:
        """None where it cannot be written."""
        if self.path.parent.is_symlink() or self.path.is_symlink():
            raise PathError(f"{self.path} is a link; remove it, so that the catalogue is made beside the data.")
        try:
            self.path.parent.mkdir(exist_ok=True)
            connection = _connected(self.path)
            try:
                _prepare(connection)
            except sqlite3.DatabaseError as error:
                connection.close()
                if not _is_broken(error):
                    raise
                self.path.unlink(missing_ok=True)
                connection = _connected(self.path)
                _prepare(connection)
        except (PermissionError, OSError):
            return None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                return None
            raise self._refusal(error) from None
        return connection

    def _in_memory(self) -> sqlite3.Connection:
        memory = _connected(":memory:")
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as there:
            there.backup(memory)
        _prepare(memory)
        return memory

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What comes of it; a database that turns out to be damaged is made anew once."""
        try:
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                raise self._refusal(error) from None
        self._connection.close()
        if not self._read_only:
            self.path.unlink(missing_ok=True)
        self._open()
        return work(self._connection)

    def _write(self, statement: str, *values: object) -> None:
        self._try(lambda db: db.execute(statement, values).fetchall())

    def _refusal(self, error: sqlite3.Error) -> PathError:
        return PathError(f"{self.path} cannot be used now ({error}). It holds nothing of its own: if this stays, remove it.")


def _connected(to: Path | str) -> sqlite3.Connection:
    """Each statement by itself; from any thread, one at a time: a kernel answers its page in another than it runs cells in."""
    return sqlite3.connect(to, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, VERSION):
        connection.executescript("DROP TABLE IF EXISTS things; DROP TABLE IF EXISTS runs;")
    if version != VERSION:
        connection.executescript(f"{TABLES} PRAGMA user_version = {VERSION};")
    connection.execute("SELECT path, seen, told, picture FROM things LIMIT 1").fetchall()
    connection.execute("SELECT scan, folder FROM runs LIMIT 1").fetchall()


def _is_broken(error: sqlite3.DatabaseError) -> bool:
    """Whether it is damaged or of another kind, rather than in use, read only, or on a full disk."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
