"""Whether a network's blocks are exactly the whole volume, proved by looking at what it does. Axis order is (z, y, x).

Blocks that are predicted with a halo and cropped equal the whole, bit for bit, where (1) the halo reaches as far as the network
looks, (2) blocks begin on its stride, (3) the halo ends where the volume does instead of being padded, and (4) gray values are
normalised by numbers that do not depend on the block. The driver of blocks sees to 2 to 4; 1 is of the network, and true of no halo
at all where the network takes statistics of its input, as instance and group normalisation do.

The proof of 1: a cell of NaN goes in, as large as the stride. What comes out as NaN is what depends on it, for no weight and no
activation makes a number of NaN. That the arithmetic too does not depend on the size of what is computed is then tried: windows
of several sizes against the whole, in the precision and on the device that will be used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emkit.blocks import Span
from emkit.model import Shape

Forward = Callable[[torch.Tensor], torch.Tensor]  # (1, 1, z, y, x) to (1, C, z, y, x)
TRIED_CELLS = {0: 1, 1: 16, 2: 16, 3: 6}  # beyond the reach, by how many axes are looked along
TRIALS = 8
SIDE_CELLS = 4  # cells along the axes that are not looked at


@dataclass(frozen=True)
class Proof:
    """What was found: how far beyond its cells of the stride a block looks (z, y, x), px; None where it looks at everything."""

    reach: Shape | None
    difference: float = 0.0  # of windows from the whole, at most

    @property
    def exact(self) -> bool:
        return self.reach is not None and self.difference == 0

    def __str__(self) -> str:
        if self.reach is None:
            return "the network looks at all of its input: blocks are not exactly the whole, and seams are possible"
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
    shape = (reach[0], reach[1], reach[2])
    return Proof(shape, _difference(computing, stride, shape))


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
def _difference(network: Forward, stride: Shape, reach: Shape) -> float:
    """The largest difference between a whole of noise and windows of it: of several sizes, for arithmetic may depend on them."""
    draw = np.random.default_rng(0)
    cells = TRIED_CELLS[sum(far > 0 for far in reach)]
    sides = [far + cells * step if far else 1 for far, step in zip(reach, stride, strict=True)]
    image = torch.from_numpy(draw.normal(size=(1, 1, *sides)).astype(np.float32))
    whole = network(image)
    largest = 0.0
    for _ in range(TRIALS):
        window, inner = [], []  # what is computed of the whole, and of that what no cut is near
        for far, step, side in zip(reach, stride, sides, strict=True):
            cut = int(draw.integers(0, cells)) * step if far else 0
            from_start = bool(draw.integers(0, 2))
            window.append((0, side - cut) if from_start else (cut, side))
            inner.append((0, side - cut - far) if from_start else (cut + far, side))
        kept = [(low - first, high - first) for (low, high), (first, _) in zip(inner, window, strict=True)]
        difference = _part(network(_part(image, window)), kept) - _part(whole, inner)
        largest = max(largest, float(difference.abs().max()))
    return largest


def _part(volume: torch.Tensor, spans: Sequence[Span]) -> torch.Tensor:
    z, y, x = (slice(low, high) for low, high in spans)
    return volume[..., z, y, x]
