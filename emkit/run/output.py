"""Where an output is built, and how it takes its place: beside it, under a name that no reader takes for a whole one.

An output that exists is exchanged in one move of the file system (Linux `renameat2`), so that at any moment the old or
the new one is there, whole. Where the file system cannot, two renames do it; what a kill between them left is put back
by the next run onto the same output.
"""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emkit.errors import PathError

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def unfinished(out: Path) -> Path:
    """Where the output is built."""
    return out.with_name(f"unfinished-{out.name}")


def place(out: Path) -> None:
    """The unfinished output takes its place; what stood there is removed afterwards."""
    built, replaced = unfinished(out), _replaced(out)
    if not out.exists():
        built.rename(out)
        return
    if _exchange(built, out):
        built.rename(replaced)
    else:
        out.rename(replaced)
        built.rename(out)
    remove(replaced)


@contextmanager
def journal_of(out: Path) -> Iterator[IO[str]]:
    """The journal of the run onto this output, for this process alone; gone once the run is whole."""
    path = out.with_name(f"unfinished-{out.name}.journal")
    with path.open("a+") as file:
        if not _locked(file):
            raise PathError(f"out: another run is writing {out} now. Wait for it, cancel it, or choose another name.")
        if not out.exists() and _replaced(out).exists():
            _replaced(out).rename(out)
        try:
            yield file
        except BaseException:
            if not unfinished(out).exists() and path.read_text().count("\n") < 2:
                path.unlink()  # nothing was done: there is nothing to go on with
            raise
        path.unlink()


def remove(path: Path) -> None:
    """The file or folder is gone; that there was none is well."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _locked(journal: IO[str]) -> bool:
    """Take the lock; False where another run holds it, or held it at the moment of opening and has just ended."""
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(journal.fileno()).st_nlink > 0


def _replaced(out: Path) -> Path:
    return out.with_name(f"replaced-{out.name}")


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one move; False where the file system has no such move."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(a), None, str(b))
