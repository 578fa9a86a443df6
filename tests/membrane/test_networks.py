"""How far a network looks is what it says, along each axis; its output has the size of its input."""

import weakref
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from emkit.membrane.inference import folded
from emkit.membrane.networks import ARCHITECTURES, make_network
from emkit.membrane.networks.memory import PER_CHANNEL, Levels
from emkit.membrane.networks.unet3d import fold, unfold

CASES: list[tuple[str, dict[str, Any]]] = [
    ("unet2d", {"width": 4, "depth": 2, "stem": 2}),
    ("unet2d", {"width": 4, "depth": 3, "stem": 1}),
    ("unet2d", {"width": 4}),
    ("unet3d", {"widths": [4, 4], "pools": [[2, 2, 2]], "kernels": [[3, 3, 3], [3, 3, 3]]}),
    ("anisotropic", {"widths": [4, 4, 4], "ratio": 4}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_halo_is_as_far_as_it_looks(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    made = make_network(name, 1, 1, options).eval().double()
    for part, weight in made.named_parameters():  # nothing cancels, every rectifier is open, and pools pass on what is brighter
        nn.init.constant_(weight, 0.0 if part.endswith("bias") else 1.0)
    told = cast(Any, made)
    for axis in range(-told.dim, 0):
        halo, stride = told.halo[axis], told.stride[axis]
        sizes = [*told.stride[-told.dim :]]
        sizes[axis] = 2 * halo + 3 * stride
        far = 0
        for at in range(halo + stride, halo + 2 * stride):
            image = torch.zeros(1, 1, *sizes, dtype=torch.double)
            image.select(axis, at).fill_(1.0)
            with torch.inference_mode():
                reached = made(image)[0, 0].transpose(axis, -1).flatten(0, -2).any(0).nonzero()
            far = max(far, at - int(reached.min()), int(reached.max()) - at)
        assert halo - stride < far <= halo


@pytest.mark.parametrize(("name", "options"), CASES)
def test_outputs_have_the_size_of_the_input(name: str, options: dict[str, Any]) -> None:
    made = cast(Any, make_network(name, 1, 3, options).eval())
    sizes = [2 * step for step in made.stride[-made.dim :]]
    with torch.inference_mode():
        assert made(torch.zeros(2, 1, *sizes)).shape == (2, 3, *sizes)


def test_voxels_are_folded_as_pixels_are() -> None:
    image = torch.arange(2 * 3 * 4 * 6 * 8.0).reshape(2, 3, 4, 6, 8)
    assert torch.equal(unfold(fold(image, (2, 3, 4)), (2, 3, 4)), image)
    flat = torch.nn.functional.pixel_unshuffle(image[:, :, 0], 2)
    assert torch.equal(fold(image[:, :, :1], (1, 2, 2))[:, :, 0], flat)


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that live at once, without computing them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.known: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and (key := (storage := tensor.untyped_storage())._cdata) not in self.known:
                self.known[key] = storage.nbytes()
                self.now += self.known[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, key)
        return made

    def _gone(self, key: int) -> None:
        self.now -= self.known.pop(key)


@pytest.mark.parametrize("channels", [1, 10])
@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in ARCHITECTURES), CASES[1]])
def test_memory_is_what_torch_allocates(name: str, options: dict[str, Any], channels: int) -> None:
    told = Levels.of(name, options)
    network = make_network(name, 1, channels, options).to("meta", torch.bfloat16)
    sizes = [64 * step for step in cast(Any, network).stride[-cast(Any, network).dim :]]  # beside which weights are nothing
    asking = folded(network)
    with torch.inference_mode(), Living() as asked:
        asking(torch.empty(1, 1, *sizes, device="meta", dtype=torch.bfloat16))
    voxels = torch.Size(sizes).numel()
    assert told.predicting(channels) * voxels == pytest.approx(asked.peak, rel=0.05)
    with Living() as learned:
        network.train()(torch.empty(1, 1, *sizes, device="meta", dtype=torch.bfloat16)).float().sum().backward()
    assert (told.learning(channels) - (PER_CHANNEL - 4) * channels) * voxels == pytest.approx(learned.peak, rel=0.1)
