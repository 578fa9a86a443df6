"""Small networks of random weights that say something: their batch statistics are those of noise, their probabilities far apart."""

from dataclasses import replace
from typing import Any

import torch

from emkit.membrane.model import Configuration, Model, Target, build_network

SIZES: dict[int, tuple[str, dict[str, int | list[int] | list[list[int]]], tuple[float, float, float]]] = {
    2: ("unet2d", {"width": 32, "depth": 2, "stem": 2}, (50.0, 4.0, 4.0)),
    3: ("unet3d", {"widths": [32, 32], "pools": [[2, 2, 2]], "kernels": [[3, 3, 3]] * 2}, (8.0, 8.0, 8.0)),
}


def network_of(*targets: Target, dim: int = 2, **changed: Any) -> Model:
    """A model in inference mode; membrane alone if no target is given."""
    torch.manual_seed(0)
    architecture, options, size_nm = SIZES[dim]
    found = Configuration(architecture, options, 2 if dim == 2 else 3, size_nm, targets or (Target("membrane"),), 120.0, 60.0)
    found = replace(found, options=found.options | changed)
    network = build_network(found)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 1, *[32] * dim))
        network.out.weight.mul_(20)  # type: ignore[operator, union-attr]
    return Model(network.eval(), found)
