"""What a network says of a volume, block by block; exactly what it says of the whole where that can be (see `exactness`).

    predictor = Predictor(model, precision=fastest_precision("cpu"), tta=8)
    window = predictor.window(block, shape)                # what must be read for a block: it, and a halo
    found = predictor.predict(gray, window, block, shape)  # (C, z, y, x), float32 from 0 to 1

A window begins and ends on the stride, or ends where the volume does. Networks want sizes that are multiples of their stride: the
volume is continued by its mirror image up to the next one, so that the last window and the whole continue it alike. Where a
prediction is a mean over symmetries, each of them sees the volume so continued, and its grid is the same.

Axis order is (z, y, x).
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from emkit.blocks import Block, Span
from emkit.errors import DataError, ParameterError, ResourceError
from emkit.membrane.exactness import Forward, Proof, prove
from emkit.membrane.model import Model
from emkit.membrane.symmetries import Symmetry, symmetries
from emkit.model import Shape

Floats = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]
NOWHERE: Shape = (0, 0, 0)
TILES: dict[int, Shape] = {2: (1, 1024, 1024), 3: (256, 256, 256)}  # by dimension
OUT_OF_MEMORY = re.compile("out of memory|not enough memory|can't allocate", re.I)  # as torch says it, on GPUs and CPUs


def fastest_precision(device: str) -> Precision:
    """bfloat16 where the device computes with it, which takes half the time; else float32."""
    if device == "cpu":
        return "bfloat16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def use_threads(count: int) -> None:
    """Compute with so many threads from now on, if not with more."""
    torch.set_num_threads(max(torch.get_num_threads(), count))


def check_device(device: str) -> None:
    """ResourceError if torch has no such device here, ParameterError if it is none."""
    try:
        kind, number = (wanted := torch.device(device)).type, wanted.index or 0
    except RuntimeError:
        kind, number = "", 0
    if kind not in ("cpu", "cuda"):
        raise ParameterError(f'device: found {device!r}, needed "cpu", "cuda" or "cuda:N".')
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise ResourceError(
            f"device: found {device!r}, but torch {torch.__version__} sees {torch.cuda.device_count()} GPUs here. "
            "Leave it out to compute on the CPU, or run where there is a GPU."
        )


def device_of(worker: int, device: str, gpus: int | None = None) -> str:
    """Where a worker computes: `cuda` alone is all GPUs that are seen, which workers take in turn.

    >>> [device_of(worker, "cuda", gpus=2) for worker in range(3)], device_of(1, "cuda:3"), device_of(1, "cpu")
    (['cuda:0', 'cuda:1', 'cuda:0'], 'cuda:3', 'cpu')
    """
    return f"cuda:{worker % (gpus or torch.cuda.device_count())}" if device == "cuda" else device


@dataclass(frozen=True)
class Gray:
    """What gray values are normalised by, for all blocks alike: less `mean`, over `std`."""

    mean: float
    std: float

    def normalise(self, gray: NDArray[Any]) -> Floats:
        return (gray.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)


class Predictor:
    """A model, ready to predict on a device.

    `tta`: over how many symmetries predictions are means. `gray`: if not that of the model. `proof`: if it was found out before.
    Not more than a `tile` (z, y, x) is computed at once, with its halo; what comes out does not depend on it. `halved` tells that
    memory did not suffice for it, and half of it is computed from then on.
    """

    def __init__(
        self,
        model: Model,
        *,
        tta: int = 1,
        precision: Precision = "float32",
        device: str = "cpu",
        gray: Gray | None = None,
        proof: Proof | None = None,
        tile: Shape | None = None,
    ) -> None:
        check_device(device)
        self.model, self.device, self.precision = model, device, precision
        self.gray = gray or Gray(model.mean, model.std)
        self.symmetries = symmetries(tta, model.dim)
        self.channels = [offset for target in model.targets for offset in target.offsets or (None,)]
        self.network = _prepared(model.network, precision, device)
        self._structure = _volumetric(model.network, model.dim, None)
        self._known = proof
        self.tile, self.halved = tile or TILES[model.dim], False
        self._forward = _volumetric(self.network, model.dim, torch.bfloat16 if precision == "bfloat16" else torch.float32)

    @cached_property
    def proof(self) -> Proof:
        """Whether blocks are exactly the whole; found out once."""
        if self._known:
            return self._known
        return prove(self._structure, lambda image: self._forward(image.to(self.device)).cpu(), self.model.stride, self.model.halo)

    @cached_property
    def halo(self) -> Shape:
        """What a block needs around it, px: as far as the network looks, and what affinities of mirrored volumes are moved by."""
        if self.proof.reach is None:
            return self.model.halo
        moved = [offset for offset in self.channels if offset and len(self.symmetries) > 1]
        z, y, x = (max([0, *(abs(offset[axis]) for offset in moved)]) for axis in range(3))
        # turned, y is x
        far = zip(self.proof.reach, (z, max(y, x), max(y, x)), self.model.stride, strict=True)
        return _shape(reach + -(-more // step) * step for reach, more, step in far)

    def window(self, block: Block, shape: Shape) -> Block:
        """What must be read of a volume of this shape to predict a block of it."""
        spans = zip((block.z, block.y, block.x), shape, self.halo, self.model.stride, strict=True)
        return _block(
            (max(0, (low - far) // step * step), min(size, -(-(high + far) // step) * step))
            for (low, high), size, far, step in spans
        )

    def predict(self, gray: NDArray[Any], window: Block, block: Block, shape: Shape) -> Floats:
        """The channels (C, z, y, x) of a block, from 0 to 1. `gray` is the volume within `window`.

        DataError where a gray value is not finite, ResourceError where memory does not suffice for half a tile either.
        """
        check_finite(gray, window)
        found = np.empty((len(self.channels), *block.shape), np.float32)
        for part in tiles(block, self.tile):
            around = self.window(part, shape)
            seen = gray[_within(around, window)]
            try:
                found[:, *_within(part, block)] = self._predict(seen, around, part, shape)
            except (MemoryError, RuntimeError) as error:
                self._halve(error, part.shape)
                return self.predict(gray, window, block, shape)
        return found

    def _halve(self, error: Exception, failed: Shape) -> None:
        """Once; what is not about memory is raised again."""
        if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error))):
            raise error
        if self.halved:
            size = " x ".join(map(str, failed))
            raise ResourceError(
                f"{self.device}: memory does not suffice for {size} px at once: {error}. Give the run more."
            ) from None
        sides = list(failed)
        sides[2 - sides[::-1].index(max(sides))] //= 2
        self.tile, self.halved = _shape(sides), True

    def _predict(self, gray: NDArray[Any], window: Block, part: Block, shape: Shape) -> Floats:
        """One tile: the mean over all symmetries."""
        padded = _continued(self.gray.normalise(gray), window, shape, self.model.stride)
        if len(self.symmetries) == 1:
            return self._ask(padded)[:, *_within(part, window)]
        total: Floats = np.zeros((len(self.channels), *window.shape), np.float32)
        count = total.copy()
        depth, height, width = window.shape
        for symmetry in self.symmetries:
            said = symmetry.undo(self._ask(symmetry.apply(padded)))[:, :depth, :height, :width]
            for channel, offset in enumerate(self.channels):
                for source, moved in self._tells(symmetry, channel, offset):
                    to, of = _overlap(window.shape, moved)
                    total[channel][to] += said[source][of]
                    count[channel][to] += 1
        inside = slice(None), *_within(part, window)
        return np.divide(total[inside], count[inside])

    def _tells(self, symmetry: Symmetry, channel: int, offset: Shape | None) -> Iterator[tuple[int, Shape]]:
        """The channel of a volume seen so that tells of this one, and where: an affinity is told at either of its two voxels."""
        if offset is None:
            yield channel, NOWHERE
            return
        seen = symmetry.of_offset(offset)
        back = _shape(-n for n in seen)
        for source, other in enumerate(self.channels):
            if other in (seen, back):
                yield source, NOWHERE if other == seen else offset
                return

    @torch.inference_mode()
    def _ask(self, image: Floats) -> Floats:
        """(z, y, x) of whole strides to (C, z, y, x)."""
        tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(self.device)
        said: Floats = torch.sigmoid(self._forward(tensor).float())[0].cpu().numpy()
        return said


def check_finite(gray: NDArray[Any], window: Block) -> None:
    """DataError where a gray value is NaN or infinite, with its place."""
    if gray.dtype.kind == "f" and not (finite := np.isfinite(gray)).all():
        z, y, x = (int(n) + low for n, (low, _) in zip(np.argwhere(~finite)[0], (window.z, window.y, window.x), strict=True))
        raise DataError(
            f"The images hold {np.count_nonzero(~finite)} values that are not finite near (z={z}, y={y}, x={x}); "
            "needed: a finite gray value in each voxel. Replace them, or leave that part out with a box."
        )


def tiles(block: Block, tile: Shape) -> Iterator[Block]:
    """A block in pieces of at most this shape."""
    spans = zip((block.z, block.y, block.x), tile, strict=True)
    for piece in product(*([(at, min(at + n, high)) for at in range(low, high, n)] for (low, high), n in spans)):
        yield _block(piece)


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network, its batch normalisations made part of the convolutions before them: the same but for rounding."""
    network = copy.deepcopy(network).eval()
    for layers in network.modules():
        for at in range(len(layers) - 1 if isinstance(layers, nn.Sequential) else 0):
            first, second = layers[at], layers[at + 1]  # type: ignore[index]  # a Sequential
            if isinstance(first, nn.Conv2d | nn.Conv3d) and isinstance(second, nn.BatchNorm2d | nn.BatchNorm3d):
                layers[at] = fuse_conv_bn_eval(first, second)  # type: ignore[operator]
                layers[at + 1] = nn.Identity()  # type: ignore[operator]
    return network


def _prepared(network: nn.Module, precision: Precision, device: str) -> nn.Module:
    """As it is computed fastest: channels last, in the memory and the precision of the device."""
    made: Any = folded(network).to(device)
    if precision == "bfloat16":
        made = made.to(torch.bfloat16)
    volumetric = any(parameter.ndim == 5 for parameter in made.parameters())
    prepared: nn.Module = made.to(memory_format=torch.channels_last_3d if volumetric else torch.channels_last)
    return prepared


def _volumetric(network: nn.Module, dim: int, dtype: torch.dtype | None) -> Forward:
    """The network as (1, 1, z, y, x) to (1, C, z, y, x); one of sections sees one after the other."""

    def forward(image: torch.Tensor) -> torch.Tensor:
        image = image if dtype is None else image.to(dtype)
        if dim == 3:
            said: torch.Tensor = network(image.contiguous(memory_format=torch.channels_last_3d) if dtype else image)
            return said
        sections = image.transpose(1, 2)[0]
        layout = torch.channels_last if dtype else torch.contiguous_format
        return torch.stack([network(section[None].contiguous(memory_format=layout))[0] for section in sections], 1)[None]

    return forward


def _continued(gray: Floats, window: Block, shape: Shape, stride: Shape) -> Floats:
    """The window of a volume that is continued by its mirror image up to a multiple of the stride."""
    spans = zip((window.z, window.y, window.x), shape, stride, strict=True)
    missing = [(0, -size % step if high == size else 0) for (_, high), size, step in spans]
    return np.pad(gray, missing, mode="symmetric") if any(n for _, n in missing) else gray


def _overlap(shape: Shape, moved: Shape) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a volume, and the same moved back by `moved`, are both: in the one, in the other."""
    to = tuple(slice(max(0, -n), size - max(0, n)) for n, size in zip(moved, shape, strict=True))
    of = tuple(slice(max(0, n), size - max(0, -n)) for n, size in zip(moved, shape, strict=True))
    return to, of


def _around(span: Span, size: int, far: int, step: int) -> Span:
    """Along one axis: a span and so much more on each side, to whole steps, within the volume."""
    return max(0, (span[0] - far) // step * step), min(size, -(-(span[1] + far) // step) * step)


def _within(inner: Block, outer: Block) -> tuple[slice, slice, slice]:
    spans = zip((inner.z, inner.y, inner.x), (outer.z, outer.y, outer.x), strict=True)
    z, y, x = (slice(low - first, high - first) for (low, high), (first, _) in spans)
    return z, y, x


def _block(spans: Any) -> Block:
    z, y, x = spans
    return Block(z, y, x)


def _shape(sizes: Any) -> Shape:
    z, y, x = sizes
    return z, y, x
