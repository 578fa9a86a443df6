"""The networks. An architecture is one file of this folder, and one line here; plans know its levels by `memory.Levels.of`.

A file has a class `Network(inputs, outputs, **options)`, a torch module from (N, inputs, [z,] y, x) to logits of the same size,
(N, outputs, [z,] y, x), with `dim`, and `stride` and `halo` in (z, y, x), px: sizes are multiples of the stride, and a voxel of the
output depends on nothing farther than the halo, a multiple of the stride itself. `options` are numbers and lists of numbers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emkit.errors import ParameterError

if TYPE_CHECKING:
    from torch.nn import Module

ARCHITECTURES = {  # name: module of this package
    "unet2d": "unet2d",
    "unet3d": "unet3d",
    "anisotropic": "anisotropic",
}


def make_network(name: str, inputs: int, outputs: int, options: dict[str, Any]) -> "Module":
    """The network of this name with weights drawn from torch's generator. ParameterError where there is none of that name."""
    if name not in ARCHITECTURES:
        raise ParameterError(f"There is no architecture {name!r}; there are {', '.join(ARCHITECTURES)}.")
    made: Module = import_module(f"{__name__}.{ARCHITECTURES[name]}").Network(inputs, outputs, **options)
    return made
