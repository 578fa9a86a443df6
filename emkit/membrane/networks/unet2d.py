"""A compact 2D U-Net for sections: (N, inputs, y, x) to logits (N, outputs, y, x).

The image is folded before the first convolution (`stem` by `stem` pixels become channels) and unfolded after the last, so that the
convolutions at the finest level, which cost most, see a quarter of the places. What comes from below is added to what was kept, not
put beside it: that takes two thirds of the time. Batch normalisation, because in inference it is a fixed affine map: blocks with a
halo are then exactly the whole image, which instance or group normalisation would not allow.
"""

from torch import Tensor, nn
from torch.nn import functional

from emkit.membrane.networks.reach import halo_of, stride_of


class Block(nn.Sequential):
    """Two convolutions of 3 × 3, each normalised and rectified."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(*_layer(inputs, outputs), *_layer(outputs, outputs))


def _layer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


class Network(nn.Module):
    dim = 2

    def __init__(self, inputs: int, outputs: int, width: int = 32, depth: int = 4, stem: int = 2) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        pools = [2] * (depth - 1)
        stride, halo = stride_of(pools, stem), halo_of([2] * depth, pools, stem)
        self.stem, self.stride, self.halo = stem, (1, stride, stride), (0, halo, halo)
        before = [inputs * stem**2, *widths]
        self.down = nn.ModuleList(Block(before[level], widths[level]) for level in range(depth))
        self.below = nn.ModuleList(nn.Conv2d(widths[level + 1], widths[level], 1, bias=False) for level in range(depth - 1))
        self.up = nn.ModuleList(Block(widths[level], widths[level]) for level in range(depth - 1))
        self.out = nn.Conv2d(width, outputs * stem**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        kept: list[Tensor] = []
        found = functional.pixel_unshuffle(image, self.stem)
        for level, block in enumerate(self.down):
            found = block(functional.max_pool2d(found, 2) if level else found)
            kept.append(found)
        found = kept.pop()
        for below, block in zip(reversed(self.below), reversed(self.up), strict=True):
            found = block(kept.pop() + functional.interpolate(below(found), scale_factor=2.0, mode="nearest"))
        return functional.pixel_shuffle(self.out(found), self.stem)
