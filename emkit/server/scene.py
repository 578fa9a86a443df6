"""A volume on disk, and the sections it was made from, as one viewer state whose sources are capabilities.

The sources begin with `{base}`: whoever holds the page knows where its server is, and puts that address there.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from emkit.io.omezarr import Level, open_volume, read_levels
from emkit.server.capability import Grant, sign
from emkit.view import Layer, volume_state

SAMPLE_VOXELS = 1 << 24  # the contrast is measured on a level no larger than this, or on one section of the coarsest


def volume_scene(volume: Path, *, before: Path | None = None, key: bytes) -> dict[str, Any]:
    """The state that shows an OME-Zarr volume; with `before`, beside the folder of sections it was made from.

    Raises PathError if the volume is none, or the folder is not there.
    """
    levels = read_levels(volume)
    full = levels[0]
    contrast = _contrast(volume, levels)
    format_name = "zarr3" if (volume / "zarr.json").is_file() else "zarr2"
    layers = [
        Layer(
            volume.name.removesuffix(".ome.zarr"),
            f"{{base}}emkit/data/{sign(Grant(volume), key)}/|{format_name}:",
            contrast=contrast,
        )
    ]
    if before is not None:
        grant = Grant(before, full.voxel_size_nm)
        layers.insert(0, Layer(f"{before.name} (before)", f"{{base}}emkit/sections/{sign(grant, key)}/|zarr3:", contrast=contrast))
    return volume_state(layers, voxel_size_nm=full.voxel_size_nm, shape=full.shape, beside=before is not None)


def at(scene: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The scene with its sources below a server's address (ends in a slash)."""
    placed: dict[str, Any] = json.loads(json.dumps(scene).replace("{base}", base_url))
    return placed


def _contrast(volume: Path, levels: tuple[Level, ...]) -> tuple[float, float]:
    """Grey values shown black and white: the 1st and 99th percentile, not counting the empty rim that alignment leaves."""
    small = next((number for number, level in enumerate(levels) if np.prod(level.shape) <= SAMPLE_VOXELS), len(levels) - 1)
    sample = open_volume(volume, level=small)
    if sample.size > SAMPLE_VOXELS:
        sample = sample[sample.shape[0] // 2]
    values = np.asarray(sample)
    values = values[values != 0]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (1, 99))
    return float(low), float(max(high, low + 1))
