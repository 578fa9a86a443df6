"""How far a U-Net looks, along one axis, from the intervals that its layers ask for. Exact, not a bound from above.

A level is a pair of blocks of two convolutions, on the way down and on the way up; `radii` says how far such a block looks at each
level, `pools` by how much each level is coarser than the one before it, `stem` by how much the first is coarser than the input.
"""

from collections.abc import Sequence
from math import prod

Interval = tuple[int, int]  # first and last


def stride_of(pools: Sequence[int], stem: int) -> int:
    """What sizes and origins of blocks must be multiples of, px."""
    return stem * prod(pools)


def halo_of(radii: Sequence[int], pools: Sequence[int], stem: int) -> int:
    """The margin that a block needs on each side, px: the farthest that any output looks, rounded up to the stride.

    >>> halo_of([2, 2, 2, 2], [2, 2, 2], stem=2)
    112
    """
    stride = stride_of(pools, stem)
    far = 0
    for at in range(stride):
        low, high = _asked((at // stem, at // stem), radii, pools)
        far = max(far, at - low * stem, high * stem + stem - 1 - at)
    return -(-far // stride) * stride


def _asked(output: Interval, radii: Sequence[int], pools: Sequence[int]) -> Interval:
    """What of the input of the first of these levels its output looks at."""
    low, high = output[0] - radii[0], output[1] + radii[0]
    if len(radii) > 1:
        below = _asked((low // pools[0], high // pools[0]), radii[1:], pools[1:])
        low = min(low, below[0] * pools[0]) - radii[0]
        high = max(high, below[1] * pools[0] + pools[0] - 1) + radii[0]
    return low, high
