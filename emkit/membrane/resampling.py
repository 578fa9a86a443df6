"""A volume on another grid, block by block: exactly what the whole, resampled at once, would hold there. Axis order is (z, y, x).

Both grids begin and end at the same places; a voxel is a box, its value stands for the middle. Each axis is resampled on its own by
a tent as wide as the larger of the two voxels: finer voxels are interpolated between, coarser ones are means that do not alias. At
the ends the tent is what there is of it. Where voxels lie is computed from the whole grid for each voxel apart, so no block shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block, Span
from emkit.model import Shape, SizeNm

Floats = NDArray[np.float32]
SAME = 0.01  # voxel sizes that differ by less are taken for equal


@dataclass(frozen=True)
class Axis:
    """One axis of `source` voxels as one of `target` voxels."""

    source: int
    target: int

    def taps(self, span: Span) -> tuple[NDArray[np.int64], Floats]:
        """For each target voxel of a span the source voxels it is made of, and their weights, which sum up to 1: (n, taps) each."""
        ratio = self.source / self.target
        width = max(1.0, ratio)
        middle = (np.arange(*span) + 0.5) * ratio - 0.5
        first = np.ceil(middle - width).astype(np.int64)
        at = first[:, None] + np.arange(int(2 * width) + 1)
        weight = np.maximum(0, 1 - np.abs(at - middle[:, None]) / width) * ((at >= 0) & (at < self.source))
        return at.clip(0, self.source - 1), (weight / weight.sum(1, keepdims=True)).astype(np.float32)

    def needed(self, span: Span) -> Span:
        """The source voxels that a span of the target is made of."""
        at, weight = self.taps(span)
        used = at[weight > 0]
        return int(used.min()), int(used.max()) + 1


@dataclass(frozen=True)
class Resampling:
    """From a volume of shape `source` to one of shape `target` that covers the same room."""

    source: Shape
    target: Shape

    @property
    def nothing(self) -> bool:
        return self.source == self.target

    @property
    def back(self) -> "Resampling":
        return Resampling(self.target, self.source)

    def needed(self, block: Block) -> Block:
        """What of the source a block of the target is made of."""
        spans = zip(self._axes, (block.z, block.y, block.x), strict=True)
        z, y, x = (axis.needed(span) if axis.source != axis.target else span for axis, span in spans)
        return Block(z, y, x)

    def apply(self, array: NDArray[np.generic], held: Block, block: Block) -> Floats:
        """A block of the target, float32, from the source within `held`, (..., z, y, x)."""
        spans = zip((held.z, held.y, held.x), (block.z, block.y, block.x), strict=True)
        z, *plane = ((axis, low, span) for axis, ((low, _), span) in zip(self._axes, spans, strict=True))
        if z[0].source != z[0].target:
            return _resampled(array, [z, *plane])
        whole: Floats = np.empty((*array.shape[:-3], *block.shape), np.float32)
        for k, section in enumerate(range(*block.z)):  # one at a time, so that what is in between is small
            whole[..., k, :, :] = _resampled(array[..., section - held.z[0], :, :], plane)
        return whole

    def nearest(self, array: NDArray[Any]) -> NDArray[Any]:
        """The whole, each voxel with the value of that in which its middle lies: for labels."""
        sizes = zip(self.source, self.target, strict=True)
        return array[np.ix_(*((np.arange(target) * 2 + 1) * source // (2 * target) for source, target in sizes))]

    @property
    def _axes(self) -> tuple[Axis, Axis, Axis]:
        z, y, x = (Axis(source, target) for source, target in zip(self.source, self.target, strict=True))
        return z, y, x


def _resampled(array: NDArray[Any], ways: Sequence[tuple[Axis, int, Span]]) -> Floats:
    """Along the last axes of an array: by which axis, where the array begins, and the span of the target."""
    found: Any = array.astype(np.float32, copy=False)
    for number, (axis, low, span) in enumerate(ways, -len(ways)):
        if axis.source == axis.target:
            found = found[(..., slice(span[0] - low, span[1] - low), *[slice(None)] * (-1 - number))]
            continue
        at, weight = axis.taps(span)
        at = (at - low).clip(0, found.shape[number] - 1)  # what lies beyond weighs nothing
        weight = weight.reshape(*weight.shape, *[1] * (-1 - number))
        found = sum((found.take(at[:, k], number) * weight[:, k] for k in range(at.shape[1])), np.float32(0))
    whole: Floats = np.ascontiguousarray(found)
    return whole


def onto(shape: Shape, voxel_size_nm: SizeNm, wanted_nm: SizeNm, *, sections: bool) -> Resampling:
    """A volume of such voxels on a grid of the wanted ones, as nearly as whole voxels can; `sections` stay where they are."""
    sizes = zip(shape, voxel_size_nm, wanted_nm, strict=True)
    z, y, x = (n if abs(size / wanted - 1) < SAME else max(1, round(n * size / wanted)) for n, size, wanted in sizes)
    return Resampling(shape, (shape[0] if sections else z, y, x))
