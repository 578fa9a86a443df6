"""Whether a network's blocks are exactly the whole volume, proved by looking at what it does. Axis order is (z, y, x).

Blocks that are predicted with a halo and cropped equal the whole, bit for bit, where (1) the halo reaches as far as the network
looks, (2) blocks begin on its stride, (3) the halo ends where the volume does instead of being padded, and (4) gray values are
normalised by numbers that do not depend on the block. The driver of blocks sees to 2 to 4; 1 is of the network, and true of no halo
at all where the network takes statistics of its input, as instance and group normalisation do.

The proof of 1: a cell of NaN goes in, as large as the stride. What comes out as NaN is what depends on it, for no weight and no
activation makes a number of NaN. That the arithmetic too does not depend on the size of what is computed is then tried: two halves
with their halos against the whole, in the precision and on the device that will be used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch

from emkit.model import Shape

Forward = Callable[[torch.Tensor], torch.Tensor]  # (1, 1, z, y, x) to (1, C, z, y, x)
TRIED_CELLS = (1, 2, 3, 5)  # beyond the reach: arithmetic may depend on the size in steps
SIDE_CELLS = 4  # cells along the axes that are not looked at


@dataclass(frozen=True)
class Proof:
    """What was found: how far beyond its cells of the stride a block looks (z, y, x), px; None where it looks at everything."""

    reach: Shape | None
    difference: float = 0.0  # of halves from the whole, at most

    @property
    def exact(self) -> bool:
        return self.reach is not None and self.difference == 0

    def __str__(self) -> str:
        if self.reach is None:
            return "the network looks at all of its input: blocks are blended, and not exactly the whole"
        if self.difference:
            return f"blocks differ from the whole by up to {self.difference:.1g}, by the arithmetic of this device"
        return f"blocks are exactly the whole: the network looks {max(self.reach)} px far"


def prove(structure: Forward, computing: Forward, stride: Shape, halo: Shape) -> Proof:
    """The proof for a network that claims this halo.

    `structure` is the network as it is, in float32 on the CPU, `computing` what will be used. A halo that is too small is found
    out: the reach is then larger.
    """
    cells = [1 if step == 1 and not far else SIDE_CELLS * step for step, far in zip(stride, halo, strict=True)]
    reach = [0, 0, 0]
    for axis, step in enumerate(stride):
        if cells[axis] == 1:  # as z is for a network of sections
            continue
        found = _reach(structure, axis, step, halo[axis], cells)
        if found is None:
            return Proof(None)
        reach[axis] = max(found, step)  # the last cell is continued by what lies before it
    tried = product([axis for axis in range(3) if reach[axis]], TRIED_CELLS)
    differences = [_difference(computing, axis, stride[axis], reach[axis], n, cells) for axis, n in tried]
    return Proof((reach[0], reach[1], reach[2]), max(differences, default=0.0))


@torch.inference_mode()
def _reach(network: Forward, axis: int, step: int, halo: int, cells: Sequence[int]) -> int | None:
    """How far the output depends on a cell in the middle, along an axis; None if it does so up to both ends of any input."""
    for margin in (halo + 2 * step, 4 * halo + 8 * step):  # the second try is for a halo that was claimed too small
        sides = [*cells]
        sides[axis] = 2 * margin + step
        image = torch.zeros(1, 1, *sides)
        image.narrow(axis + 2, margin, step).fill_(torch.nan)
        touched = network(image).isnan().amax(dim=[d for d in range(5) if d != axis + 2]).nonzero()
        if not len(touched):  # an operation that makes a number of NaN hides what it looks at
            return None
        low, high = int(touched[0]), int(touched[-1])
        if low and high < sides[axis] - 1:
            far = max(margin - low, high - (margin + step - 1))
            return -(-far // step) * step
    return None


@torch.inference_mode()
def _difference(network: Forward, axis: int, step: int, far: int, own: int, cells: Sequence[int]) -> float:
    """The largest difference between a whole of noise and its two halves, each with its halo."""
    middle = far + own * step
    sides = [*cells]
    sides[axis] = 2 * middle
    noise = np.random.default_rng(0).normal(size=(1, 1, *sides)).astype(np.float32)
    image = torch.from_numpy(noise)
    whole = network(image)
    largest = 0.0
    for low, high in pairwise((0, middle, 2 * middle)):
        first, last = max(0, low - far), min(2 * middle, high + far)
        part = network(image.narrow(axis + 2, first, last - first)).narrow(axis + 2, low - first, high - low)
        largest = max(largest, float((part - whole.narrow(axis + 2, low, high - low)).abs().max()))
    return largest
