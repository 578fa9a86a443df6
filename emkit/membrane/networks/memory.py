"""How much memory a network takes, told without torch: from its levels, as `reach` tells how far it looks.

All numbers are for one voxel of the input. A level of `width` channels holds `width` numbers for each of its places, and
there are as many times fewer places as the stem and the pools before it fold voxels together. What lives at once follows from
the forward of a U-Net that adds what comes from below: a test holds it to what torch allocates.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

HALF, SINGLE = 2, 4  # bytes of a number: networks compute in bfloat16, losses in float32
PER_CHANNEL = 44  # bytes that a channel takes in training: logits, truth and weight with their copies, losses and their gradients


@dataclass(frozen=True)
class Levels:
    """Channels of each level; how many voxels its stem folds, and each pool after it."""

    widths: tuple[int, ...]
    stem: int
    pools: tuple[int, ...]

    @classmethod
    def of(cls, architecture: str, options: dict[str, Any]) -> "Levels":
        """Those of a network of this name, with what its class takes by default."""
        if architecture == "unet2d":
            stem, depth = options.get("stem", 2), options.get("depth", 4)
            return cls(tuple(options.get("width", 32) * 2**level for level in range(depth)), stem**2, (4,) * (depth - 1))
        if architecture == "anisotropic":
            widths = tuple(options.get("widths", (32, 64, 96, 128)))
            flat = [options.get("ratio", 8) // 2 ** (level + 1) > 1 for level in range(len(widths) - 1)]
            return cls(widths, 4, tuple(4 if thick else 8 for thick in flat))
        pools = options.get("pools", ((2, 2, 2), (2, 2, 2)))
        return cls(tuple(options.get("widths", (32, 64, 128))), prod(options.get("stem", (2, 2, 2))), tuple(map(prod, pools)))

    @property
    def places(self) -> list[float]:
        """Of each level, for one voxel."""
        return [1 / (self.stem * prod(self.pools[:level])) for level in range(len(self.widths))]

    @property
    def held(self) -> list[float]:
        """Numbers that a tensor of each level holds."""
        return [width * places for width, places in zip(self.widths, self.places, strict=True)]

    def weights(self, dim: int) -> int:
        """About how many, of kernels three wide along each axis."""
        finest, *_ = self.widths
        steps = zip((self.stem, *self.widths), self.widths, strict=False)
        down = sum(a * b + b * b for a, b in steps)
        up = sum(2 * width * width for width in self.widths[:-1])
        return int(3**dim) * (down + up) + finest * self.stem

    def predicting(self, channels: int) -> float:
        """Bytes at most: at the finest level on the way up, or where the channels are unfolded."""
        finest, *deeper = self.held
        sums = 3 * finest + sum(deeper[:1])  # what is summed, two convolutions of it, and what came from below
        return HALF * (max(sums, finest + 2 * channels) + 1)  # and the image

    def learning(self, channels: int) -> float:
        """Bytes at most: what the way back needs of the way there, and what it makes at the finest level."""
        down, up = 4 * sum(self.held), 5 * sum(self.held[:-1])  # of each convolution, and of its normalisation; and the sums
        pooled = 5 * sum(width * places for width, places in zip(self.widths, self.places[1:], strict=False))  # where it was found
        return HALF * (down + up + pooled + 2 * self.held[0] + 1) + PER_CHANNEL * channels
