"""Locks that die with their holder, and that may be looked at without being touched.

The operating system's locks of open file descriptions: whoever inherits the descriptor holds the lock too, so that it can
be handed to a process that is only just starting. (With flock a look is a try, and a look refused 2 % of the starts.)
"""

import fcntl
import os
import struct
from pathlib import Path

LAYOUT = "hhqqi"  # struct flock: type, whence, start, length, pid


def take(descriptor: int) -> bool:
    """Lock the open file for whoever holds this descriptor; False if somebody else does."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of this file."""
    try:
        with path.open("rb") as file:
            found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, struct.pack(LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return False
    return bool(struct.unpack_from(LAYOUT, found)[0] != fcntl.F_UNLCK)
