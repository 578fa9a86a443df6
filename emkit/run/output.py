"""Where an output is built, and how it takes its place: beside it, under a name that no reader takes for a whole one.

An output that exists is exchanged in one move of the file system (Linux `renameat2`), so that at any moment the old or
the new one is there, whole. Where the file system cannot, two renames do it; what a kill between them left is put back
by the next run onto the same output.
"""

import ctypes
import errno
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from emkit.errors import PathError
from emkit.params import UNFINISHED
from emkit.provenance import METADATA, sync
from emkit.run.lock import take

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def unfinished(out: Path) -> Path:
    """Where the output is built."""
    return out.with_name(f"{UNFINISHED}{out.name}")


def place(out: Path) -> None:
    """The unfinished output takes its place; what stood there is removed afterwards."""
    built, replaced = unfinished(out), _replaced(out)
    if not out.exists():
        move(built, out)
    elif not _exchange(built, out):
        move(out, replaced)
        move(built, out)
    sync(out.absolute().parent)
    clear(out)


def move(source: Path, target: Path) -> None:
    """Rename. NFS may say that it failed although it is done: where its answer was lost, and another try found nothing to do."""
    try:
        source.replace(target)
    except OSError:
        if source.exists() or not target.exists():
            raise


def clear(out: Path) -> None:
    """What stood in the output's place before it is gone."""
    remove(unfinished(out))
    remove(_replaced(out))


def settle(built: Path, settled: Collection[str]) -> None:
    """All files of an output, and their names, would outlive a power cut; those that are `settled` are so already."""
    if not built.is_dir():
        sync(built)
        return
    for folder, _, names in os.walk(built):
        within = "" if folder == str(built) else f"{Path(folder).relative_to(built).as_posix()}/"
        sync(*(Path(folder, name) for name in names if f"{within}{name}" not in settled), Path(folder))


def seal(path: Path) -> str:
    """What tells an output from any other; a folder also from one of equal bytes that another run made."""
    proof = path / METADATA if path.is_dir() else path
    return hashlib.sha256(proof.read_bytes()).hexdigest() if proof.is_file() else ""


@dataclass
class Claim:
    """The note beside the output, open and locked."""

    out: Path
    descriptor: int
    begun: bool = False  # whether the run has done something that is worth going on with

    def run_folder(self) -> Path | None:
        """The folder of the run that was here last."""
        text = os.pread(self.descriptor, 2**16, 0).decode()
        return Path(text) if text else None

    def belongs_to(self, folder: Path) -> None:
        """Note the folder; at no moment is there none."""
        written = os.pwrite(self.descriptor, str(folder).encode(), 0)
        os.ftruncate(self.descriptor, written)


@contextmanager
def claimed(out: Path) -> Iterator[Claim]:
    """The right to write the output, for this process alone; the file beside it that says so is gone once the run is whole."""
    descriptor = os.open(note_of(out), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # a note that was removed at the moment of opening is nobody's: its run has just ended
        if not take(descriptor) or os.fstat(descriptor).st_nlink == 0:
            raise PathError(f"out: another run is writing {out} now. Wait for it, cancel it, or choose another name.")
        if not out.exists() and _replaced(out).exists():
            move(_replaced(out), out)
        claim = Claim(out, descriptor)
        try:
            yield claim
        except BaseException:
            if not unfinished(out).exists() and not claim.begun:
                note_of(out).unlink()  # nothing was done: there is nothing to go on with
            raise
        note_of(out).unlink()
    finally:
        os.close(descriptor)


def note_of(out: Path) -> Path:
    """The file beside an unfinished output that names its run's folder."""
    return out.with_name(f"{UNFINISHED}{out.name}.run")


def remove(path: Path) -> None:
    """The file or folder is gone; that there was none is well."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
