"""The twin of the kernels for a GPU, in torch alone: equal, event for event, to `emkit.count.definition`.

All pixels are compared with the thresholds; only those that count, about one in a hundred, are looked at with their neighbours, as
a list. Plateaus are settled by handing the first place of each from neighbour to neighbour until nothing changes.
"""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emkit.count.definition import Ties
from emkit.errors import ResourceError

if TYPE_CHECKING:
    import torch

PIXELS = 2**24  # at once: up to 100 MB where one pixel in a hundred counts, 4 GB where all do


def check_device(device: str) -> None:
    """ResourceError if torch is not there, or has no such GPU."""
    try:
        import torch
    except ImportError:
        raise ResourceError(f"device: {device} needs torch, which is not installed here: pip install 'emkit[gpu]'") from None
    try:
        kind, number = (wanted := torch.device(device)).type, wanted.index or 0
    except RuntimeError:
        raise ResourceError(f'device: found {device!r}, needed "cpu", "cuda" or "cuda:N".') from None
    if kind == "cuda" and number < torch.cuda.device_count():
        return
    raise ResourceError(
        f"device: found {device!r}, but torch {torch.__version__} sees {torch.cuda.device_count()} GPUs here. "
        'Leave it out: the kernels for the CPU give the same events, on device="cpu".'
    )


def by_torch(
    frames: NDArray[Any], dark: NDArray[Any] | None, low: float, high: float, ties: Ties, *, device: str = "cuda"
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The events of frames, as `emkit.count.kernel.Kernel` says; in batches, so that memory is bounded."""
    size = prod(frames.shape[1:])
    step = max(1, PIXELS // size)
    offset = None if dark is None else _on(dark.reshape(1, *frames.shape[1:]), device)
    found, counts = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for first in range(0, len(frames), step):
        v = _on(frames[first : first + step], device)
        if offset is not None:
            v = v - offset
        at = _events(v.where((v >= low) & (v < high), v.new_zeros(())), ties)
        found.append((at % size).cpu().numpy().astype(np.uint32))
        counts.append((at // size).bincount(minlength=len(v)).cpu().numpy())
    return np.concatenate(found), np.cumsum(np.concatenate(counts), dtype=np.int64)


def _on(pixels: NDArray[Any], device: str) -> "torch.Tensor":
    """On the device, in a type that has a sign. 16 bits travel as they are."""
    import torch

    pixels = pixels if pixels.flags.writeable else pixels.copy()  # torch has no arrays that are only read
    if pixels.dtype == np.uint16:
        return torch.from_numpy(pixels.view(np.int16)).to(device).to(torch.int32) & 0xFFFF
    return torch.from_numpy(pixels).to(device)


def _events(v: "torch.Tensor", ties: Ties) -> "torch.Tensor":
    """The flat places (of all frames) of events among pixels (n, H, W) that are 0 where they do not count, ascending."""
    _, height, width = v.shape
    flat = v.reshape(-1)
    at = flat.nonzero().reshape(-1)
    near, inside = _around(at, height, width)
    around = flat[near].where(inside, flat.new_zeros(()))
    value = flat[at]
    greatest = around.amax(1)
    events = value > greatest
    if ties == "keep":
        shared = (around == value[:, None]).any(1).nonzero().reshape(-1)
        if len(shared):
            same = around[shared] == value[shared, None]
            first = _first_of_each(at[shared], near[shared], same, open_=greatest[shared] <= value[shared])
            events[shared] = first
    return at[events]


def _first_of_each(at: "torch.Tensor", near: "torch.Tensor", same: "torch.Tensor", *, open_: "torch.Tensor") -> "torch.Tensor":
    """Which pixels are the first of their plateau; none of a plateau that is not `open_` everywhere: it has a greater neighbour."""
    import torch

    beside = torch.searchsorted(at, near).clamp(max=len(at) - 1)  # those that are the same are in the list too
    name = at.where(open_, at.new_full((), -1))
    nothing = torch.iinfo(at.dtype).max
    while True:
        least = torch.minimum(name, name[beside].masked_fill(~same, nothing).amin(1))
        if torch.equal(least, name):
            return name == at
        name = least


def _around(at: "torch.Tensor", height: int, width: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """The places of the eight neighbours, (n, 8), and which are in the frame; those that are not are the pixel's own place."""
    import torch

    dy, dx = torch.tensor([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], device=at.device).T
    y, x = at // width % height, at % width
    v, u = y[:, None] + dy, x[:, None] + dx
    inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
    return at[:, None] + (dy * width + dx) * inside, inside
