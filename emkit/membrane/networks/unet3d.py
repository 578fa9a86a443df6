"""A compact 3D U-Net for volumes: (N, inputs, z, y, x) to logits (N, outputs, z, y, x).

As the 2D network (`unet2d`): voxels are folded into channels, what comes from below is added, and normalisation is by batch. Along
each axis it may fold, pool and convolve on its own, so that voxels which are deeper than wide are first gathered within sections.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from emkit.membrane.networks.reach import halo_of, stride_of

Sizes = Sequence[int]  # along z, y, x


class Block(nn.Sequential):
    """Two convolutions, each normalised and rectified."""

    def __init__(self, inputs: int, outputs: int, kernel: Sizes) -> None:
        super().__init__(*_layer(inputs, outputs, kernel), *_layer(outputs, outputs, kernel))


def _layer(inputs: int, outputs: int, kernel: Sizes) -> tuple[nn.Module, ...]:
    size, padding = (kernel[0], kernel[1], kernel[2]), (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, size, padding=padding, bias=False), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)


class Network(nn.Module):
    """`widths`: channels of each level; `stem`: voxels that are folded; `pools`: between levels; `kernels`: of each level."""

    dim = 3

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sizes = (32, 64, 128),
        stem: Sizes = (2, 2, 2),
        pools: Sequence[Sizes] = ((2, 2, 2), (2, 2, 2)),
        kernels: Sequence[Sizes] = ((3, 3, 3), (3, 3, 3), (3, 3, 3)),
    ) -> None:
        super().__init__()
        self.stem, self.pools = tuple(stem), [tuple(pool) for pool in pools]
        axes = [([kernel[k] // 2 * 2 for kernel in kernels], [pool[k] for pool in pools], stem[k]) for k in range(3)]
        self.halo = tuple(halo_of(*axis) for axis in axes)
        self.stride = tuple(stride_of(pools, stem) for _, pools, stem in axes)
        folded = stem[0] * stem[1] * stem[2]
        before = [inputs * folded, *widths]
        self.down = nn.ModuleList(Block(*sizes) for sizes in zip(before, widths, kernels, strict=False))
        self.below = nn.ModuleList(nn.Conv3d(widths[level + 1], widths[level], 1, bias=False) for level in range(len(pools)))
        self.up = nn.ModuleList(Block(widths[level], widths[level], kernels[level]) for level in range(len(pools)))
        self.out = nn.Conv3d(widths[0], outputs * folded, 1)

    def forward(self, image: Tensor) -> Tensor:
        kept: list[Tensor] = []
        found = fold(image, self.stem)
        for level, block in enumerate(self.down):
            found = block(functional.max_pool3d(found, self.pools[level - 1]) if level else found)
            kept.append(found)
        found = kept.pop()
        for below, block, pool in zip(reversed(self.below), reversed(self.up), reversed(self.pools), strict=True):
            # without a name for what is interpolated, so that it is let go of once it is added
            found = block(kept.pop() + functional.interpolate(below(found), scale_factor=tuple(map(float, pool)), mode="nearest"))
        return unfold(self.out(found), self.stem)


def fold(image: Tensor, stem: Sizes) -> Tensor:
    """(N, C, z, y, x) to (N, C · stem voxels, z / stem, …): what `pixel_unshuffle` does in 2D."""
    number, channels, *sizes = image.shape
    a, b, c = stem
    z, y, x = sizes[0] // a, sizes[1] // b, sizes[2] // c
    parts = image.reshape(number, channels, z, a, y, b, x, c).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(number, channels * a * b * c, z, y, x)


def unfold(channels: Tensor, stem: Sizes) -> Tensor:
    """Back again: what `pixel_shuffle` does in 2D."""
    number, count, z, y, x = channels.shape
    a, b, c = stem
    parts = channels.reshape(number, count // (a * b * c), a, b, c, z, y, x).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(number, count // (a * b * c), z * a, y * b, x * c)
