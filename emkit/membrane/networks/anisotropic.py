"""A U-Net for voxels that are deeper than wide: within sections first, in 3D where pooling has made the voxel about a cube.

(N, inputs, z, y, x) to logits (N, outputs, z, y, x). Sections are folded and pooled within their plane until a voxel is as wide as
it is deep, and convolved within it until then.
"""

from collections.abc import Sequence

from emkit.membrane.networks import unet3d
from emkit.membrane.networks.unet3d import Sizes


class Network(unet3d.Network):
    """`ratio`: how much deeper than wide a voxel is. Sections are folded by two, and pooled `levels - 1` times."""

    def __init__(self, inputs: int, outputs: int, widths: Sizes = (32, 64, 96, 128), ratio: int = 8) -> None:
        left, pools, kernels = ratio // 2, list[Sequence[int]](), list[Sequence[int]]()
        for _ in widths:
            flat = left > 1
            kernels.append((1, 3, 3) if flat else (3, 3, 3))
            pools.append((1, 2, 2) if flat else (2, 2, 2))
            left //= 2
        super().__init__(inputs, outputs, widths, (1, 2, 2), pools[:-1], kernels)
