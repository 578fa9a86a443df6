"""A volume on disk, and the sections it was made from, as one viewer state whose sources are capabilities.

The sources begin with `{base}`: whoever holds the page knows where its server is, and puts that address there.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emkit.errors import PathError
from emkit.io.meshes import TYPE as MESHES
from emkit.io.omezarr import open_level, read_volume
from emkit.model import Volume
from emkit.server.capability import Grant, sign
from emkit.view import Layer, volume_state

SELECTED = 20  # objects that are shown in 3D at first
SAMPLE_VOXELS = 1 << 24  # contrast is measured on a level no larger than this, else on the middle section of the coarsest


def volume_scene(path: Path, *, before: Path | None = None, key: bytes) -> dict[str, Any]:
    """The state that shows an OME-Zarr volume; with `before`, beside the folder of sections it was made from.

    Raises PathError if the volume is none, or the folder is not there.
    """
    volume = read_volume(path)
    full = volume.levels[0]
    contrast = _contrast(volume) if volume.kind == "image" else None
    format_name = "zarr3" if (path / "zarr.json").is_file() else "zarr2"
    shapes = shapes_of(path) if volume.kind == "labels" else ()
    layers = [
        Layer(
            path.name.removesuffix(".ome.zarr"),
            f"{{base}}emkit/data/{sign(Grant(path), key)}/|{format_name}:",
            volume.kind,
            contrast,
            tuple(f"{{base}}emkit/data/{sign(Grant(folder), key)}/|neuroglancer-precomputed:" for folder in shapes),
            _largest(shapes),
        )
    ]
    if before is not None:
        if not before.is_dir():
            raise PathError(
                f"{before} is not a folder of sections. Give the folder that {path.name} was made from, or leave it out."
            )
        grant = Grant(before, full.voxel_size_nm)
        layers.insert(0, Layer(f"{before.name} (before)", f"{{base}}emkit/sections/{sign(grant, key)}/|zarr3:", contrast=contrast))
    return volume_state(layers, voxel_size_nm=full.voxel_size_nm, shape=full.shape, beside=before is not None)


def shapes_of(path: Path) -> tuple[Path, ...]:
    """The folders beside a segmentation that hold meshes or skeletons of it: their `info` names it."""
    if not os.access(around := path.absolute().parent, os.R_OK):
        return ()
    found = []
    for folder in sorted(folder for folder in around.iterdir() if (folder / "info").is_file()):
        try:
            told = json.loads((folder / "info").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # of something else
            continue
        if isinstance(told, dict) and told.get("segmentation") == path.name:
            found.append(folder)
    return tuple(found)


def _largest(shapes: Sequence[Path]) -> tuple[int, ...]:
    """The objects whose meshes take the most bytes, or whose skeletons where there are no meshes: what the view opens with."""
    meshes = [folder for folder in shapes if json.loads((folder / "info").read_text(encoding="utf-8")).get("@type") == MESHES]
    sizes: Counter[int] = Counter()
    for folder in meshes or shapes:
        sizes.update({int(file.name): file.stat().st_size for file in folder.iterdir() if file.name.isdigit()})
    return tuple(label for label, _ in sizes.most_common(SELECTED))


def at(scene: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The scene with its sources below a server's address (ends in a slash)."""
    placed: dict[str, Any] = json.loads(json.dumps(scene).replace("{base}", base_url))
    return placed


def _contrast(volume: Volume) -> tuple[float, float]:
    """Grey values shown black and white: the 1st and 99th percentile, not counting the empty rim that alignment leaves."""
    sizes = [np.prod(level.shape) for level in volume.levels]
    small = next((number for number, size in enumerate(sizes) if size <= SAMPLE_VOXELS), len(sizes) - 1)
    sample = open_level(volume.path, small)
    if sizes[small] > SAMPLE_VOXELS:
        sample = sample[sample.shape[0] // 2]
    values = sample.read().result()
    values = values[values != 0]
    if not values.size:
        return 0.0, 1.0
    low, high = np.nanpercentile(values, (1, 99))
    return float(low), float(high) if high > low else float(low) + 1
