"""The numba twin of events.c, for machines where no compiler was when the package was installed.

A row is compared with `low` at once, which the compiler does by vectors, and only what is left looks at its neighbours.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from emkit.count.definition import Ties, most_events


def by_numba(
    frames: NDArray[Any], dark: NDArray[Any] | None, low: float, high: float, ties: Ties
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The events of frames, as `emkit.count.kernel.Kernel` says."""
    count, height, width = frames.shape
    kind = np.int64 if frames.dtype.kind in "iu" else np.float32
    zeros = np.zeros((height, width), frames.dtype) if dark is None else dark.reshape(height, width)
    found = np.empty(count * most_events(height, width), np.uint32)
    ends = np.zeros(count, np.int64)
    total = _count(frames, zeros, kind(low), kind(high), ties == "keep", ends, found)
    return found[:total].copy(), ends


@numba.njit(cache=True, nogil=True)
def _count(frames: Any, dark: Any, low: Any, high: Any, keep: bool, ends: Any, found: Any) -> int:
    _, height, width = frames.shape
    v = np.zeros((height, width), np.asarray([low]).dtype)
    seen, stack = np.zeros(height * width, np.uint8), np.empty(height * width, np.int32)
    n = 0
    for k in range(len(frames)):
        for y in range(height):
            for x in range(width):
                value = type(low)(frames[k, y, x]) - type(low)(dark[y, x])
                v[y, x] = value if low <= value < high else 0
        for y in range(height):
            if not v[y].any():
                continue
            for x in range(width):
                if v[y, x] >= low and _is_event(v, y, x, keep, seen, stack):
                    found[n] = y * width + x
                    n += 1
        ends[k] = n
    return n


@numba.njit(cache=True, nogil=True)
def _is_event(v: Any, y: int, x: int, keep: bool, seen: Any, stack: Any) -> bool:
    tied = 0
    for i in range(max(y - 1, 0), min(y + 2, v.shape[0])):
        for j in range(max(x - 1, 0), min(x + 2, v.shape[1])):
            if v[i, j] > v[y, x]:
                return False
            tied += v[i, j] == v[y, x]
    return tied == 1 or (keep and _first(v, y, x, seen, stack))


@numba.njit(cache=True, nogil=True)
def _first(v: Any, y: int, x: int, seen: Any, stack: Any) -> bool:
    """Whether the pixel is the first of a plateau. `seen` is left clean."""
    width, value = v.shape[1], v[y, x]
    at = y * width + x
    stack[0], seen[at], found, done, first = at, 1, 1, 0, True
    while first and done < found:
        row, column = divmod(stack[done], width)
        done += 1
        for i in range(max(row - 1, 0), min(row + 2, v.shape[0])):
            for j in range(max(column - 1, 0), min(column + 2, width)):
                near = i * width + j
                if v[i, j] > value or (v[i, j] == value and near < at):
                    first = False
                elif v[i, j] == value and not seen[near]:
                    seen[near] = 1
                    stack[found] = near
                    found += 1
    for k in range(found):
        seen[stack[k]] = 0
    return first
