"""Storage as all formats use it: where a folder is, one tensorstore context, its failures in our words, files of other machines."""

import errno
import os
import re
import time
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
PATIENCE_S = 90.0  # until a file that another machine has written is seen: NFS keeps what it knows of a folder for up to a minute
LOOK_S = 0.05


def kvstore(folder: Path) -> dict[str, str]:
    """The folder, for a spec."""
    return {"driver": "file", "path": f"{folder.absolute()}/"}


@cache
def context() -> "tensorstore.Context":
    """One for all arrays: the threads are shared, and nothing is kept that a block no longer needs."""
    import tensorstore

    return tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})


def read_store(store: "tensorstore.TensorStore") -> NDArray[Any]:
    """All voxels of a store, or of a part of one. DataError with the file if it is damaged, OSError if the system refuses it."""
    try:
        return np.asarray(store.read().result())
    except ValueError as wrong:  # whatever has failed
        if refused := _os_error(wrong):
            raise refused from None
        raise DataError(f"Voxels cannot be read: {wrong}. The volume is damaged there: make it again from its source.") from None


def finish(writes: "Iterable[tensorstore.WriteFutures]") -> None:
    """Wait until all is on disk. OSError with the file if it cannot be."""
    try:
        for write in writes:
            write.result()
    except ValueError as wrong:
        raise _os_error(wrong) or OSError(errno.EIO, f"voxels cannot be written: {wrong}") from None


def await_files(*files: Path) -> None:
    """Return once each is there, for what another machine has written may show late; FileNotFoundError after PATIENCE_S."""
    last = time.monotonic() + PATIENCE_S
    for file in files:
        while not file.exists():
            if time.monotonic() > last:
                raise FileNotFoundError(errno.ENOENT, f"not seen within {PATIENCE_S:g} s after it was written", str(file))
            for folder in file.parents:  # to list a folder is what makes NFS look again
                if folder.is_dir():
                    os.listdir(folder)
                    break
            time.sleep(LOOK_S)


def _os_error(wrong: ValueError) -> OSError | None:
    """What the operating system said, where it did; so that the engine can tell a full disk from a damaged volume."""
    if found := OS_ERROR.search(str(wrong)):
        return OSError(number := int(found["number"]), os.strerror(number), found["file"])
    return None
