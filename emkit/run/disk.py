"""A disk that fills up while a run writes: refused in one message, wherever it is met, with what is free and what is needed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emkit.errors import ResourceError
from emkit.provenance import size_of
from emkit.run.plan import in_words

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def refusing_full_disks(notes: Path, built: Path | None, needed_bytes: int) -> Iterator[None]:
    """Within: that a disk is full, or a quota used up, is a ResourceError.

    `notes` is the folder of the run; `built` where its output is made, of which the plan says `needed_bytes`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise ResourceError(_told(error, notes, built, needed_bytes)) from None


def _told(error: OSError, notes: Path, built: Path | None, needed_bytes: int) -> str:
    places = [_there(path) for path in (notes, built) if path]
    where = _there(Path(os.fsdecode(error.filename))) if error.filename else min(places, key=_free)
    what = "Your quota is used up" if error.errno == errno.EDQUOT else "The disk is full"
    needed = "and the run keeps its notes there: some hundred bytes for each of its tasks"
    if built and where.stat().st_dev == _there(built).stat().st_dev:
        more = max(0, needed_bytes - size_of(built))
        needed = f"and the output needs about {in_words(more)} more than is written" if more else "and the output needs more"
    return (
        f"{what} in {where}: {in_words(_free(where))} are free, {needed}. "
        f"Make room there. Then go on with what is done: emkit resume {notes.name}, or the same call."
    )


def _there(path: Path) -> Path:
    """The path, or the folder nearest to it that exists."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())


def _free(path: Path) -> int:
    return shutil.disk_usage(path).free
