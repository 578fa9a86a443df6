"""What an event is: the slow, obvious definition, which the kernels are tested against.

    v = raw - dark (signed; divided by the gain where there is one), and v = 0 unless background < v < xray.

An event is a pixel that is not 0 and strictly greater than its up to 8 neighbours. With ties="keep" a plateau, connected pixels of
one value of which no neighbour is greater, is one event at its first pixel; with ties="drop" it is none. The rule for
ties="drop" is stempy's (Avery et al., stempy 3.6).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.model import Thresholds

Ties = Literal["keep", "drop"]


def corrected(frame: NDArray[Any], dark: NDArray[Any] | None = None, gain: NDArray[Any] | None = None) -> NDArray[Any]:
    """v before thresholds: whole numbers (int64) while dark is, and there is no gain; else float32, as the cameras' makers do."""
    exact = gain is None and (dark is None or np.issubdtype(dark.dtype, np.integer))
    kind = np.int64 if exact else np.float32
    v = frame.astype(kind)
    if dark is not None:
        v = v - dark.astype(kind)
    if gain is not None:
        v = v * np.reciprocal(gain.astype(np.float32))
    return np.asarray(v)


def events(v: NDArray[Any], thresholds: Thresholds, ties: Ties) -> NDArray[np.uint32]:
    """The flat indices of the events of one corrected frame, ascending. Pixel by pixel: for tests."""
    exactly = v if v.dtype.kind == "i" else v.astype(np.float64)  # or the thresholds would be rounded to float32
    counted = np.where((exactly > thresholds.background) & (exactly < thresholds.xray), v, 0)
    found = []
    for y, x in np.argwhere(counted > 0):
        value = counted[y, x]
        around = [p for p in _around(y, x, *v.shape)]
        if (
            all(counted[p] < value for p in around)
            or ties == "keep"
            and all(counted[p] <= value for p in around)
            and _plateau(counted, y, x)[0] == (y, x)
        ):
            found.append((y, x))
    return np.array([y * v.shape[1] + x for y, x in found], np.uint32)


def most_events(height: int, width: int) -> int:
    """In a frame: events are no neighbours of each other."""
    return -(-height // 2) * -(-width // 2)


def _plateau(counted: NDArray[Any], y: int, x: int) -> list[tuple[int, int] | None]:
    """The pixels of a plateau in order; None first if a neighbour of it is greater."""
    value, seen, left = counted[y, x], {(y, x)}, [(y, x)]
    while left:
        for p in _around(*left.pop(), *counted.shape):
            if counted[p] > value:
                return [None]
            if counted[p] == value and p not in seen:
                seen.add(p)
                left.append(p)
    return sorted(seen)  # type: ignore[return-value]


def _around(y: int, x: int, height: int, width: int) -> list[tuple[int, int]]:
    return [
        (v, u)
        for v in range(max(y - 1, 0), min(y + 2, height))
        for u in range(max(x - 1, 0), min(x + 2, width))
        if (v, u) != (y, x)
    ]
