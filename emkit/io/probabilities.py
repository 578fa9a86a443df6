"""Volumes of probabilities as predict-membranes writes them: float32, 0 to 1, or uint8, 0 to 255. Axis order is (z, y, x)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.errors import DataError, ParameterError
from emkit.io.omezarr import read_region, read_volume
from emkit.model import Level, SizeNm

DTYPES = ("uint8", "float32")
TOLERANCE = 1e-6


def open_probability(path: Path) -> Level:
    """The full resolution of such a volume, from its headers. ParameterError for labels, and for voxels of another type."""
    volume = read_volume(path)
    full = volume.levels[0]
    if volume.kind == "labels" or full.dtype not in DTYPES:
        raise ParameterError(
            f"{path} holds {volume.kind} of type {full.dtype}; needed: a probability, float32 from 0 to 1 or uint8 from 0 to 255."
        )
    return full


def read_probability(path: Path, block: Block) -> NDArray[np.float32]:
    """The probability of a block, 0 to 1. DataError where it is none."""
    return as_probability(path, read_region(path, 0, block), *(low for low, _ in (block.z, block.y, block.x)))


def as_probability(path: Path, found: NDArray[Any], z: int = 0, y: int = 0, x: int = 0) -> NDArray[np.float32]:
    """Voxels that were read at (z, y, x), as numbers from 0 to 1. DataError with the first that is NaN or lies outside."""
    if found.dtype == np.uint8:
        return found.astype(np.float32) / np.float32(255)
    wrong = ~((found >= -TOLERANCE) & (found <= 1 + TOLERANCE))
    if wrong.any():
        first = np.argwhere(wrong)[0]
        z, y, x = (int(i) + low for i, low in zip(first, (z, y, x), strict=True))
        raise DataError(
            f"{path} holds {found[tuple(first)]} at (z={z}, y={y}, x={x}), and {np.count_nonzero(wrong)} such voxels around; "
            "needed: probabilities from 0 to 1. Predict it anew, or divide it by its largest value."
        )
    return found.astype(np.float32, copy=False)


def predicted_dim(path: Path) -> int:
    """In how many dimensions the model looked that predicted the volume. ParameterError where the volume does not tell."""
    if (told := told_dim(path)) is None:
        raise ParameterError(f"dim is missing: {path} does not tell with which model it was predicted. Give 2 or 3.")
    return told


def told_dim(path: Path) -> int | None:
    """In how many dimensions a volume was predicted, or segmented; None where it does not tell."""
    try:
        told = json.loads((path / "zarr.json").read_text())["attributes"]["emkit"]["dim"]
    except (OSError, ValueError, LookupError):
        return None
    return told if told in (2, 3) else None


def tell_dim(path: Path, dim: int) -> None:
    """Keep with a volume in how many dimensions it was segmented."""
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["emkit"] = {"dim": dim}
    (path / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def check_mask(path: Path, full: Level) -> None:
    """Refuse a mask of probabilities, and one that has no place in common with a volume of this finest level."""
    mask = read_volume(path).levels[0]
    if mask.dtype.startswith("float"):
        raise ParameterError(
            f"mask: {path} holds numbers of type {mask.dtype}; needed: integers, not 0 where something is to be left out. "
            "Of a probability make one: emkit make-mask."
        )
    theirs, ours = _extent_nm(mask), _extent_nm(full)
    if any(a[1] <= b[0] or b[1] <= a[0] for a, b in zip(theirs, ours, strict=True)):
        raise ParameterError(
            f"mask: {path} lies at {_told(theirs)}, and the probability at {_told(ours)}: they have no voxel in common. "
            "Needed: a mask of the same place. Look at voxel size and origin of both: emkit convert --voxel-size-nm sets the size."
        )


def _told(extent: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in zip("zyx", extent, strict=True)) + " nm"


def _extent_nm(level: Level) -> list[tuple[float, float]]:
    return [
        (origin - size / 2, origin + (n - 0.5) * size)
        for origin, size, n in zip(level.origin_nm, level.voxel_size_nm, level.shape, strict=True)
    ]


def read_mask(path: Path, block: Block, voxel_size_nm: SizeNm, origin_nm: SizeNm) -> NDArray[np.bool_]:
    """Where a mask is not 0, at the voxels of a block of a volume with this voxel size and origin; the mask may be coarser.

    Each voxel takes the value of the mask's nearest one; beyond the mask nothing is masked.
    """
    level = read_volume(path).levels[0]
    nearest = []
    for (low, high), size, origin, coarse, first in zip(
        (block.z, block.y, block.x), voxel_size_nm, origin_nm, level.voxel_size_nm, level.origin_nm, strict=True
    ):
        nearest.append(np.floor((np.arange(low, high) * size + origin - first) / coarse + 0.5).astype(np.int64))
    inside = [(index >= 0) & (index < n) for index, n in zip(nearest, level.shape, strict=True)]
    if not all(one.any() for one in inside):
        return np.zeros(block.shape, bool)
    spans = [(int(i[k].min()), int(i[k].max()) + 1) for i, k in zip(nearest, inside, strict=True)]
    voxels = read_region(path, 0, Block(spans[0], spans[1], spans[2])) != 0
    index = np.ix_(*(np.clip(i - low, 0, high - low - 1) for i, (low, high) in zip(nearest, spans, strict=True)))
    z, y, x = inside
    masked: NDArray[np.bool_] = voxels[index] & z[:, None, None] & y[None, :, None] & x[None, None, :]
    return masked
