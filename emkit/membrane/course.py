"""All that decides what a training learns, in one record; fields, network and trainer are made from it and from arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.membrane.losses import Objective, parse_losses
from emkit.membrane.model import Configuration, Offset, Target, TargetName, read_configuration
from emkit.membrane.networks import ARCHITECTURES
from emkit.membrane.resampling import onto
from emkit.membrane.targets import LabelKind, Truth, maps_of

if TYPE_CHECKING:
    from emkit.membrane.sampling import Field

NAMES: tuple[TargetName, ...] = ("membrane", "foreground", "contour", "distance", "affinity", "cleft", "skeleton", "extracellular")
NEAR_2D: tuple[Offset, ...] = ((0, -1, 0), (0, 0, -1))
FAR_2D: tuple[Offset, ...] = ((0, -9, 0), (0, 0, -9), (0, -9, -9), (0, 9, -9), (0, -27, 0), (0, 0, -27))
NEAR_3D: tuple[Offset, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
FAR_3D: tuple[Offset, ...] = ((-4, 0, 0), (0, -4, 0), (0, 0, -4), (-10, 0, 0), (0, -10, 0), (0, 0, -10))
EMPTY = 0.1
PIXEL_NM = 5.5  # the finest that a network of sections sees: finer pixels show it less of what lies around, and no more membrane
SIDE_2D, SIDE_3D, SIDE_THICK, DEEP = 224, 80, 160, 16  # of patches, px; and how deep one is of thick sections, at least
FAR_THICK: tuple[Offset, ...] = ((-2, 0, 0), (0, -3, 0), (0, 0, -3), (0, -9, 0), (0, 0, -9), (0, -27, 0), (0, 0, -27))


@dataclass(frozen=True)
class Course:
    """What is learned, from labels of which kind, by which network, with how many steps or core-seconds."""

    label_kind: LabelKind
    dim: Literal[2, 3]
    voxel_size_nm: tuple[float, float, float]
    model_nm: tuple[float, float, float]
    objectives: tuple[Objective, ...]
    architecture: str
    options: dict[str, int | list[int] | list[list[int]]]
    patch: tuple[int, ...]
    batch: int
    rate: float
    seed: int
    steps: int | None
    cpu_seconds: float | None
    thickness_px: int
    extracellular: bool
    empty: float
    freeze: tuple[str, ...]
    continue_from: Path | None
    device: str
    processes: int = 1

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(objective.target for objective in self.objectives)

    @property
    def isotropic(self) -> bool:
        return self.dim == 3 and max(self.voxel_size_nm) < 1.5 * min(self.voxel_size_nm)

    def configuration(self, mean: float, std: float) -> Configuration:
        """What is known of the model before it is trained."""
        return Configuration(self.architecture, self.options, self.dim, self.model_nm, self.targets, mean, std)

    def field(self, image: NDArray[np.generic], truth: Truth, mean: float, std: float) -> "Field":
        """What is learned from, of a labelled piece: on the grid of the model."""
        from emkit.membrane.sampling import Field

        names = [target.name for target in self.targets if not target.offsets]
        maps = maps_of(truth, names, self.dim, self.voxel_size_nm, self.thickness_px)
        gray = ((image.astype(np.float32) - mean) / std).astype(np.float32)
        way = onto(image.shape, self.voxel_size_nm, self.model_nm, sections=self.dim == 2)
        if way.nothing:
            return Field(gray, maps.astype(np.float16), truth.ids, truth.known)
        before, after = (Block((0, z), (0, y), (0, x)) for z, y, x in (way.source, way.target))
        gray, maps = (way.apply(part, before, after) for part in (gray, maps))
        return Field(gray, maps.astype(np.float16), way.nearest(truth.ids), way.nearest(truth.known))


def kept_when_empty(objectives: Sequence[Objective]) -> float:
    """Which part of the patches without any of the first target is learned from: few, where objects are learned, which are rare."""
    return EMPTY if objectives[0].target.name in ("foreground", "cleft") else 1.0


def network_for(
    name: str, dim: Literal[2, 3], voxel_size_nm: tuple[float, float, float], width: int | None = None
) -> tuple[str, dict[str, int | list[int] | list[list[int]]]]:
    """The architecture of this name, or the one that fits, with its options. ParameterError for an unknown one."""
    ratio = voxel_size_nm[0] / voxel_size_nm[2]
    chosen = name or ("unet2d" if dim == 2 else "unet3d" if ratio < 1.5 else "anisotropic")
    if chosen not in ARCHITECTURES:
        raise ParameterError(f"architecture: found {chosen!r}; needed: {', '.join(ARCHITECTURES)}.")
    options: dict[str, int | list[int] | list[list[int]]] = {}
    if width:
        many = 4 if chosen == "anisotropic" else 3
        options |= {"width": width} if chosen == "unet2d" else {"widths": [width * 2**level for level in range(many)]}
    return chosen, options | ({"ratio": 2 ** max(1, round(log2(ratio)))} if chosen == "anisotropic" else {})


def model_size(pixel_nm: float | None, dim: Literal[2, 3], voxel_size_nm: tuple[float, float, float]) -> tuple[float, float, float]:
    """The voxels that a network of sections sees: not finer than `pixel_nm`. One of volumes sees those that there are.

    >>> model_size(None, 2, (50.0, 4.0, 4.0))
    (50.0, 5.5, 5.5)
    """
    if dim == 3:
        return voxel_size_nm
    z, y, x = voxel_size_nm
    finest = pixel_nm or PIXEL_NM
    return z, max(y, finest), max(x, finest)


def patch_for(side: int | None, dim: Literal[2, 3], voxel_size_nm: tuple[float, float, float]) -> tuple[int, ...]:
    """The patch with this side, or the usual one: of a volume as deep as wide in nm, and some sections at least."""
    if dim == 2:
        return (side or SIDE_2D,) * 2
    thick = voxel_size_nm[0] >= 1.5 * voxel_size_nm[2]
    chosen = side or (SIDE_THICK if thick else SIDE_3D)
    return (max(DEEP, round(chosen * voxel_size_nm[2] / voxel_size_nm[0] / 8) * 8) if thick else chosen, chosen, chosen)


def parse_objectives(texts: Sequence[str], dim: Literal[2, 3], voxel_size_nm: tuple[float, float, float]) -> tuple[Objective, ...]:
    """The targets that texts ask for, such as "contour" or "distance:mse=1"; affinities come last. ParameterError for others.

    Where none is asked for it is membrane, and in 3D affinities too.
    """
    found: dict[str, Objective] = {}
    for text in texts or (("membrane",) if dim == 2 else ("membrane", "affinity")):
        name, _, losses = text.partition(":")
        if name not in NAMES:
            raise ParameterError(
                f"target: found {name!r}; needed: {', '.join(NAMES)}, each with its losses if they are not to be the usual."
            )
        if name in found:
            raise ParameterError(f"target: {name} is asked for twice; name it once, with all its losses: {name}:bce=1,dice=0.5.")
        known = NAMES[NAMES.index(name)]
        offsets = _offsets(dim, voxel_size_nm) if known == "affinity" else ()
        found[name] = Objective(Target(known, offsets), parse_losses(losses, known))
    return tuple(sorted(found.values(), key=lambda one: bool(one.target.offsets)))


def _offsets(dim: int, voxel_size_nm: tuple[float, float, float]) -> tuple[Offset, ...]:
    if dim == 2:
        return NEAR_2D + FAR_2D
    return NEAR_3D + (FAR_3D if voxel_size_nm[0] < 1.5 * voxel_size_nm[2] else FAR_THICK)


def check_continued(
    course_targets: tuple[Target, ...], dim: int, voxel_size_nm: tuple[float, float, float], folder: Path
) -> Configuration:
    """What a model says from which a training is to go on. ParameterError where it is of another kind."""
    held = read_configuration(folder)
    if held.dim != dim:
        raise ParameterError(
            f"continue_from: {folder} is a model of {held.dim}D; found dim {dim}. Pass --dim {held.dim}, or another model."
        )
    if held.targets != course_targets:
        has, asked = (", ".join(target.name for target in one) for one in (held.targets, course_targets))
        raise ParameterError(f"continue_from: {folder} has learned {has}; found {asked}. Pass --target {has.replace(', ', ' ')}.")
    ratios = [a / b for a, b in zip(voxel_size_nm, held.voxel_size_nm, strict=True)]
    if any(not 0.25 < ratio < 2 for ratio in ratios):  # finer pixels are averaged
        raise ParameterError(
            f"continue_from: {folder} was trained on voxels of {held.voxel_size_nm} nm (z, y, x); found {voxel_size_nm}"
            f"{angstrom(ratios)}. Pass the size of your voxels, in nm, or train anew."
        )
    return held


def angstrom(ratios: Sequence[float]) -> str:
    """What sizes that are ten times too large or too small were given in.

    >>> angstrom([10.0, 9.9, 10.1])
    ', ten times as much (in Å?)'
    """
    if all(5 < ratio < 20 for ratio in ratios):
        return ", ten times as much (in Å?)"
    if all(0.05 < ratio < 0.2 for ratio in ratios):
        return ", a tenth of it (nm or Å?)"
    return ""
