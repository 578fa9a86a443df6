"""What a predicted volume holds, told in its metadata (zarr.json) under `emkit`. Axis order is (z, y, x).

The root of the volume is the probability of membrane, or what the model tells first where it tells no membrane. What else it tells
are volumes of their own below the root: `contour`, `distance`, and for affinities one for each offset: `affinity_0`,
`affinity_1` and so on. In uint8, 255 is a probability of 1.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emkit.errors import PathError
from emkit.membrane.model import Offset, Target, TargetName
from emkit.model import SizeNm

METADATA, KEY = "zarr.json", "emkit"
ROOT = ""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Channel:
    """One volume: where it lies, what it tells, and for affinities which neighbour (z, y, x) it is about, px of `model_nm`.

    `source`: the channels of the network that it is the mean of. Where a network tells affinities alone, those to the nearest
    neighbours are what membrane is the `opposite` of.
    """

    group: str
    target: TargetName
    source: tuple[int, ...]
    offset: Offset | None = None
    opposite: bool = False

    def of(self, said: Floats) -> Floats:
        """This volume, or a part of it (..., y, x), of all channels (C, ..., y, x) of the network."""
        mean: Floats = said[list(self.source)].mean(0, dtype=np.float32)
        return 1 - mean if self.opposite else mean


@dataclass(frozen=True)
class Prediction:
    """How a volume was predicted. `gray`: mean and standard deviation that images were normalised by; `exact`: whether its blocks
    are what the whole would be at once, bit for bit, and `told` the reason in words."""

    dim: Literal[2, 3]
    channels: tuple[Channel, ...]
    model_nm: SizeNm
    gray: tuple[float, float]
    tta: int
    precision: str
    exact: bool
    told: str

    def write(self, volume: Path) -> None:
        """Tell it in the metadata of a volume that is there."""
        from pydantic import TypeAdapter

        document = json.loads((volume / METADATA).read_text())
        document["attributes"][KEY] = TypeAdapter(Prediction).dump_python(self, mode="json")
        (volume / METADATA).write_text(json.dumps(document, indent=1) + "\n")


def read_prediction(volume: Path) -> Prediction:
    """What a volume says of its prediction. PathError where it is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        told = json.loads((volume / METADATA).read_text())["attributes"][KEY]
        return TypeAdapter(Prediction).validate_python(told)
    except (OSError, ValueError, LookupError, ValidationError):
        raise PathError(f"{volume} does not tell how it was predicted; needed: a volume that predict-membranes made.") from None


def told_channels(volume: Path) -> tuple[Channel, ...]:
    """What a volume tells, the root first; membrane where it does not say."""
    try:
        return read_prediction(volume).channels
    except PathError:
        return (Channel(ROOT, "membrane", (0,)),)


def channels_of(targets: Sequence[Target]) -> tuple[Channel, ...]:
    """The volumes that a network of these targets fills, the root first.

    >>> [channel.group for channel in channels_of([Target("contour"), Target("membrane"), Target("distance")])]
    ['', 'contour', 'distance']
    """
    every: list[Channel] = []
    at = 0
    for target in targets:
        if target.offsets:
            every += [Channel(f"{target.name}_{k}", target.name, (at + k,), offset) for k, offset in enumerate(target.offsets)]
        else:
            every.append(Channel(target.name, target.name, (at,)))
        at += target.channels
    alone = [channel for channel in every if channel.offset is None]
    first = next((channel for channel in alone if channel.target == "membrane"), alone[0] if alone else None)
    if first:
        return Channel(ROOT, first.target, first.source), *(channel for channel in every if channel is not first)
    near = min(sum(map(abs, channel.offset or ())) for channel in every)
    nearest = tuple(channel.source[0] for channel in every if sum(map(abs, channel.offset or ())) == near)
    return Channel(ROOT, "membrane", nearest, opposite=True), *every
