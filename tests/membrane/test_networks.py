"""How far a network looks is what it says."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from emkit.membrane.networks import make_network

CASES = [("unet2d", {"width": 4, "depth": 2, "stem": 2}), ("unet2d", {"width": 4, "depth": 3, "stem": 1}), ("unet2d", {"width": 4})]


def network(name: str, options: dict[str, int]) -> nn.Module:
    torch.manual_seed(0)
    return make_network(name, 1, 1, options).eval()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_halo_is_as_far_as_it_looks(name: str, options: dict[str, int]) -> None:
    made = network(name, options).double()
    for part, weight in made.named_parameters():  # nothing cancels, every rectifier is open, and pools pass on what is brighter
        nn.init.constant_(weight, 0.0 if part.endswith("bias") else 1.0)
    told = cast(Any, made)
    dim, halo, stride = told.dim, told.halo[-1], told.stride[-1]
    middle, far = halo + stride, 0
    for at in range(middle, middle + stride):
        image = torch.zeros(1, 1, *[stride] * (dim - 1), 2 * middle, dtype=torch.double)
        image[..., at] = 1.0
        with torch.inference_mode():
            reached = made(image).flatten(0, -2).any(0).nonzero()
        far = max(far, at - int(reached.min()), int(reached.max()) - at)
    assert halo - stride < far <= halo
