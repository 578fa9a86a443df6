"""A trained model: a folder with weights (safetensors) and what must be known to use them (model.json). Nothing is unpickled.

Input of the network: gray values less `mean`, over `std`, as (N, 1, [z,] y, x); output: logits (N, C, [z,] y, x), the channels of
the targets one after the other. A sigmoid makes each a number from 0 to 1; `Model.split` takes them apart. Axis order is (z, y, x).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emkit.errors import DataError, PathError
from emkit.membrane.networks import make_network

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

CONFIGURATION, WEIGHTS = "model.json", "weights.safetensors"
Offset = tuple[int, int, int]
TargetName = Literal["membrane", "foreground", "contour", "distance", "affinity", "cleft", "skeleton", "extracellular"]


@dataclass(frozen=True)
class Target:
    """What some channels of a network tell.

    Affinities have a channel for each offset (z, y, x), px: 1 where the voxel and the one at that offset from it are of one object.
    All others have one: membrane is 1 on membranes, foreground 1 within objects, contour 1 between them, distance 0 at the edge of
    an object and 1 deep in it, cleft 1 on synaptic clefts, skeleton 1 on centre lines, extracellular 1 in the space between cells.
    """

    name: TargetName
    offsets: tuple[Offset, ...] = ()

    @property
    def channels(self) -> int:
        return len(self.offsets) or 1


@dataclass(frozen=True)
class Configuration:
    """All of a model but its weights.

    `mean` and `std`: of the gray values it was trained on. `training`: the digest of each file it learned from, by name.
    `validation`: scores on what was left out of training.
    """

    architecture: str
    options: dict[str, int | list[int] | list[list[int]]]
    dim: Literal[2, 3]
    voxel_size_nm: tuple[float, float, float]
    targets: tuple[Target, ...]
    mean: float
    std: float
    validation: dict[str, float] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)
    format: Literal["emkit model 1"] = "emkit model 1"

    @property
    def channels(self) -> int:
        return sum(target.channels for target in self.targets)


@dataclass(frozen=True)
class Model:
    """A network in inference mode with its configuration."""

    network: "Module"
    configuration: Configuration

    @property
    def dim(self) -> int:
        return self.configuration.dim

    @property
    def voxel_size_nm(self) -> tuple[float, float, float]:
        return self.configuration.voxel_size_nm

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.configuration.targets

    @property
    def mean(self) -> float:
        return self.configuration.mean

    @property
    def std(self) -> float:
        return self.configuration.std

    @property
    def halo(self) -> tuple[int, int, int]:
        """How far a voxel of the output looks, (z, y, x), px; a multiple of the stride."""
        told: Any = self.network.halo
        return told[0], told[1], told[2]

    @property
    def stride(self) -> tuple[int, int, int]:
        """What sizes and origins of blocks must be multiples of, (z, y, x), px."""
        told: Any = self.network.stride
        return told[0], told[1], told[2]

    def split(self, channels: "Tensor") -> "dict[TargetName, Tensor]":
        """The channels (N, C, ...) of each target, by its name."""
        import torch

        parts = torch.split(channels, [target.channels for target in self.targets], 1)
        return {target.name: part for target, part in zip(self.targets, parts, strict=True)}


def build_network(configuration: Configuration, seed: int = 0) -> "Module":
    """The network that a configuration tells of, with random weights."""
    import torch

    torch.manual_seed(seed)
    return make_network(configuration.architecture, 1, configuration.channels, dict(configuration.options))


def read_configuration(folder: Path) -> Configuration:
    """What a model folder says of its model. PathError where it is no such folder, DataError where it cannot be understood."""
    from pydantic import TypeAdapter, ValidationError

    if not (file := folder / CONFIGURATION).is_file():
        raise PathError(f"{folder} is no model: it has no {CONFIGURATION}. Needed: a folder that train-membranes has written.")
    try:
        return TypeAdapter(Configuration).validate_json(file.read_bytes())
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{file} cannot be used: {where}: {first['msg']}. Needed: the file as train-membranes wrote it.") from None


def load_model(folder: Path) -> Model:
    """The model of a folder, in inference mode on the CPU. Raises as `read_configuration`, DataError where weights do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    configuration = read_configuration(folder)
    network = build_network(configuration)
    file = folder / WEIGHTS
    try:
        network.load_state_dict(load_file(file))
    except FileNotFoundError:
        raise PathError(f"{folder} has no {WEIGHTS}; copy the folder again from where it was trained.") from None
    except (SafetensorError, RuntimeError) as wrong:
        told = str(wrong).splitlines()[0]
        raise DataError(f"{file} does not hold the weights that {CONFIGURATION} tells of: {told}. Copy the folder again.") from None
    return Model(network.eval(), configuration)


def write_model(folder: Path, network: "Module", configuration: Configuration) -> tuple[Path, Path]:
    """Write a model into a folder that is there; the files."""
    from pydantic import TypeAdapter
    from safetensors.torch import save_file

    weights, told = folder / WEIGHTS, folder / CONFIGURATION
    save_file({name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}, weights)
    told.write_bytes(TypeAdapter(Configuration).dump_json(configuration, indent=1))
    return told, weights
