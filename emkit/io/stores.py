"""tensorstore as all formats use it: where a folder is, one context, and its failures in our words."""

import errno
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError

if TYPE_CHECKING:  # 90 ms
    import tensorstore

OS_ERROR = re.compile(r'local file "(?P<file>[^"]*)".*os_error_code=\'(?P<number>\d+)\'', re.S)
TRIES = 3
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)  # troubles of a shared file system: another try may succeed


def kvstore(folder: Path) -> dict[str, str]:
    """The folder, for a spec."""
    return {"driver": "file", "path": f"{os.path.realpath(folder)}/"}  # tensorstore takes no ".."


@cache
def context() -> "tensorstore.Context":
    """One for all arrays: the threads are shared, and nothing is kept that a block no longer needs."""
    import tensorstore

    return tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})


def create_store(spec: dict[str, Any], told: "tensorstore.Context | None" = None) -> None:
    """Create an array, or find it there. OSError with the file if the system refuses it, after more tries where that may pass."""
    import tensorstore

    for tries_left in reversed(range(TRIES)):
        try:
            tensorstore.open(spec, create=True, open=True, context=told).result()
        except ValueError as wrong:
            if (refused := os_error(wrong)) is None:
                raise
            if refused.errno not in (errno.ENOENT, *PASSING) or not tries_left:
                raise refused from None
        else:
            return


def read_store(store: "tensorstore.TensorStore") -> NDArray[Any]:
    """All voxels of a store, or of a part of one. DataError with the file if it is damaged, OSError if the system refuses it."""
    try:
        return np.asarray(store.read().result())
    except ValueError as wrong:  # whatever has failed
        if refused := os_error(wrong):
            raise refused from None
        raise DataError(f"Voxels cannot be read: {wrong}. The volume is damaged there: make it again from its source.") from None


def finish(writes: "Iterable[tensorstore.WriteFutures]") -> None:
    """Wait until all is on disk. OSError with the file if it cannot be."""
    try:
        for write in writes:
            write.result()
    except ValueError as wrong:
        raise os_error(wrong) or OSError(errno.EIO, f"voxels cannot be written: {wrong}") from None


def os_error(wrong: ValueError) -> OSError | None:
    """What the operating system said, where it did; so that the engine can tell a full disk from a damaged volume."""
    if found := OS_ERROR.search(str(wrong)):
        return OSError(number := int(found["number"]), os.strerror(number), found["file"])
    return None
