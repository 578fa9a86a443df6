"""What has a number for each pixel of a frame: dark and gain references, masks. NumPy's .npy, (ky, kx)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.errors import DataError


def read_reference(name: str, file: Path) -> NDArray[Any]:
    """The array in a file; nothing in it is executed. DataError, that begins with the name, if it cannot be read."""
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (OSError, ValueError) as wrong:
        raise DataError(f"{name}: {file} cannot be read as .npy ({wrong}).") from None
