"""Kernels in C, built with the package beside their sources (`scripts/build_kernel.py`)."""

import ctypes
from pathlib import Path

from emkit.errors import EmkitError


def load_library(path: Path) -> ctypes.CDLL:
    """The library at a path. EmkitError where this machine cannot load it."""
    try:
        return ctypes.CDLL(str(path))
    except OSError as wrong:
        raise EmkitError(f"{path} cannot be loaded ({wrong}); install emkit anew on this machine, or remove the file.") from None
