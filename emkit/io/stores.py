"""tensorstore as all formats use it: where a folder is, one context, and its failures in our words."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError, ResourceError

if TYPE_CHECKING:  # 90 ms
    import tensorstore


def kvstore(folder: Path) -> dict[str, str]:
    """The folder, for a spec."""
    return {"driver": "file", "path": f"{folder.absolute()}/"}


@cache
def context() -> "tensorstore.Context":
    """One for all arrays: the threads are shared, and nothing is kept that a block no longer needs."""
    import tensorstore

    return tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})


def read_store(store: "tensorstore.TensorStore") -> NDArray[Any]:
    """All voxels of a store, or of a part of one. DataError with the file if it is damaged."""
    try:
        return np.asarray(store.read().result())
    except ValueError as wrong:  # whatever has failed
        raise DataError(f"Voxels cannot be read: {wrong}. The volume is damaged there: make it again from its source.") from None


def finish(writes: "Iterable[tensorstore.WriteFutures]") -> None:
    """Wait until all is on disk. ResourceError with the file if it cannot be."""
    try:
        for write in writes:
            write.result()
    except ValueError as wrong:
        raise ResourceError(f"Voxels cannot be written: {wrong}. Make room there, and start again.") from None
