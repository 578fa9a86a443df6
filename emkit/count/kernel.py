"""The kernels that find events in frames: C by vectors where it was built with the package, numba otherwise.

Both are equal, event for event, to `emkit.count.definition`. C: 16-bit (and 8-bit) frames with a whole dark reference go by
AVX-512, or by what the compiler makes of 32 pixels at once; everything else pixel by pixel. A kernel is asked for some
frames at once, and lets the other threads run meanwhile.
"""

import ctypes
import math
import threading
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emkit.count.definition import Ties, most_events
from emkit.model import CountedScan, Thresholds
from emkit.native import load_library

LIBRARY = Path(__file__).with_name("events.so")
SPARE = 2  # events that the kernel may write beyond the last


class Kernel(Protocol):
    """Frames (n, H, W) contiguous, uint16, int64 or float32, with the dark in the same type or None: events, and ends (n,)."""

    def __call__(
        self, frames: NDArray[Any], dark: NDArray[Any] | None, low: float, high: float, ties: Ties
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...


def kernel() -> Kernel:
    """The fastest one that is here."""
    if LIBRARY.is_file():
        return by_compiler
    from emkit.count.jit import by_numba

    return by_numba


def bounds(thresholds: Thresholds, dtype: np.dtype[Any]) -> tuple[float, float]:
    """`background < v < xray` as `low <= v < high` among the numbers that a type has."""
    background, xray = thresholds.background, thresholds.xray
    if dtype.kind in "iu":
        most = 65536 if dtype == np.uint16 else 2**62
        return min(math.floor(background) + 1, most), min(math.ceil(xray) if xray < most else most, most)
    return _next(background, above=True), _next(xray, above=False)


def _next(value: float, *, above: bool) -> float:
    """The smallest float32 that is greater than the value, or else not less."""
    found = np.float32(value)
    low = float(found) <= value if above else float(found) < value
    return float(np.nextafter(found, np.float32(np.inf))) if low else float(found)


def by_compiler(
    frames: NDArray[Any], dark: NDArray[Any] | None, low: float, high: float, ties: Ties, *, fastest: bool = True
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The C kernel."""
    count, height, width = frames.shape
    found = _scratch(count * most_events(height, width) + SPARE)
    ends = np.zeros(count, np.int64)
    seen = np.zeros(height * width if ties == "keep" else 0, np.uint8)
    stack = np.empty(seen.size, np.int32)
    marks = (_address(seen), _address(stack))
    if frames.dtype == np.uint16:
        if low > 65535:
            return found[:0], ends
        total = _library().count_uint16(
            _address(frames),
            _address(dark),
            count,
            height,
            width,
            int(low),
            int(high),
            *marks,
            fastest,
            _address(ends),
            _address(found),
        )
        if total < 0:
            raise MemoryError("the kernel found no memory for its own needs")
        return found[:total].copy(), ends
    one, done = getattr(_library(), f"count_{frames.dtype.name}"), 0
    for k, frame in enumerate(frames):
        done += one(_address(frame), _address(dark), height, width, low, high, *marks, _address(found[done:]))
        ends[k] = done
    return found[:done].copy(), ends


def sums(scan: CountedScan, weights: NDArray[Any]) -> NDArray[Any]:
    """For each frame the sum of the weights (ky, kx) at its events: whole numbers for a mask, else float64."""
    whole = weights.dtype == np.bool_
    table = np.ascontiguousarray(weights.ravel(), np.uint8 if whole else np.float64)
    if not LIBRARY.is_file():
        before = np.concatenate([[0], np.cumsum(table[scan.indices], dtype=np.int64 if whole else np.float64)])
        return np.asarray(before[scan.offsets[1:]] - before[scan.offsets[:-1]])
    indices, offsets = np.ascontiguousarray(scan.indices, np.uint32), np.ascontiguousarray(scan.offsets, np.int64)
    found = np.zeros(len(scan), np.int64 if whole else np.float64)
    add = _library().sum_mask if whole else _library().sum_weights
    add(_address(indices), _address(offsets), len(scan), _address(table), _address(found))
    return found


_kept = threading.local()


def _scratch(size: int) -> NDArray[np.uint32]:
    """Room for events, kept by the thread: no memory is taken for what is not written, and what is, is taken once."""
    if getattr(_kept, "room", None) is None or _kept.room.size < size:
        _kept.room = np.empty(size, np.uint32)
    room: NDArray[np.uint32] = _kept.room
    return room


def _address(array: NDArray[Any] | None) -> int | None:
    return array.ctypes.data if array is not None and array.size else None


@cache
def _library() -> ctypes.CDLL:
    library = load_library(LIBRARY)
    place, size = ctypes.c_void_p, ctypes.c_ssize_t
    library.count_uint16.argtypes = [
        place,
        place,
        size,
        size,
        size,
        ctypes.c_int32,
        ctypes.c_int32,
        place,
        place,
        ctypes.c_int,
        place,
        place,
    ]
    library.count_uint16.restype = size
    for name in ("sum_mask", "sum_weights"):
        getattr(library, name).argtypes, getattr(library, name).restype = [place, place, size, place, place], None
    for name, kind in (("int64", ctypes.c_int64), ("float32", ctypes.c_float)):
        function = getattr(library, f"count_{name}")
        function.argtypes, function.restype = [place, place, size, size, kind, kind, place, place, place], size
    return library
