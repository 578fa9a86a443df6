"""How far a network looks is what it says, along each axis; its output has the size of its input."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from emkit.membrane.networks import make_network
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
