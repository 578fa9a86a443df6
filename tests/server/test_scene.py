import json
from pathlib import Path

import numpy as np
import pytest

from emkit.errors import PathError
from emkit.io.omezarr import create_volume, shard_grid, write_block
from emkit.model import VolumeKind
from emkit.server.capability import Grant, verify
from emkit.server.scene import at, volume_scene


def write(path: Path, voxels: np.ndarray, kind: VolumeKind = "image") -> Path:
    create_volume(path, shape=voxels.shape, dtype=voxels.dtype.name, voxel_size_nm=(45, 4.6, 4.6), kind=kind)
    for block in shard_grid(path):
        write_block(path, block, voxels[block.slices])
    return path


def capability(source: str) -> Grant | None:
    return verify(source.split("/")[2], b"key")


def test_a_volume_beside_its_sections(tmp_path: Path) -> None:
    voxels = np.arange(101, dtype=np.uint8).repeat(64 * 64).reshape(101, 64, 64) + 50
    volume = write(tmp_path / "aligned.ome.zarr", voxels)
    (tmp_path / "raw").mkdir()
    scene = volume_scene(volume, before=tmp_path / "raw", key=b"key")
    before, after = scene["layers"]
    assert (before["name"], after["name"]) == ("raw (before)", "aligned")
    assert before["source"].startswith("{base}emkit/sections/") and after["source"].startswith("{base}emkit/data/")
    assert capability(after["source"]) == Grant(volume)
    assert capability(before["source"]) == Grant(tmp_path / "raw", (45, 4.6, 4.6))
    assert scene["dimensions"]["z"] == [45e-9, "m"] and scene["position"] == [32, 32, 50.5]
    placed = at(scene, "https://hub.org/user/ada/")
    assert all(layer["source"].startswith("https://hub.org/user/ada/emkit/") for layer in placed["layers"])


def test_contrast_is_measured_without_the_empty_rim(tmp_path: Path) -> None:
    voxels = np.zeros((4, 64, 64), np.uint16)
    voxels[:, 16:48, 16:48] = np.linspace(1000, 2000, 32 * 32).reshape(32, 32)
    [layer] = volume_scene(write(tmp_path / "rim.ome.zarr", voxels), key=b"key")["layers"]
    low, high = layer["shaderControls"]["normalized"]["range"]
    assert 1000 < low < 1030 and 1970 < high < 2000


def test_an_empty_volume_and_labels_have_no_contrast_to_measure(tmp_path: Path) -> None:
    nothing = np.zeros((4, 64, 64), np.uint8)
    [layer] = volume_scene(write(tmp_path / "empty.ome.zarr", nothing), key=b"key")["layers"]
    assert layer["shaderControls"]["normalized"]["range"] == [0, 1]
    [layer] = volume_scene(write(tmp_path / "labels.ome.zarr", nothing.astype(np.uint32), "labels"), key=b"key")["layers"]
    assert layer["type"] == "segmentation" and "shaderControls" not in layer


def test_refusals(tmp_path: Path) -> None:
    volume = write(tmp_path / "a.ome.zarr", np.ones((4, 64, 64), np.uint8))
    with pytest.raises(PathError, match="missing"):
        volume_scene(tmp_path / "missing", key=b"key")
    with pytest.raises(PathError, match="not a folder of sections"):
        volume_scene(volume, before=tmp_path / "nowhere", key=b"key")


def test_meshes_and_skeletons_beside_a_segmentation_are_shown_with_it(tmp_path: Path) -> None:
    labels = write(tmp_path / "cells.ome.zarr", np.full((4, 64, 64), 7, np.uint32), "labels")
    for name, of in (("cells.mesh", "cells.ome.zarr"), ("other.mesh", "other.ome.zarr")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "info").write_text(f'{{"segmentation": "{of}"}}')
        (tmp_path / name / "7").write_bytes(b"mesh")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "info").write_text("no JSON")
    (layer,) = volume_scene(labels, key=b"key")["layers"]
    volume, shapes = layer["source"]
    assert capability(volume) == Grant(labels) and capability(shapes) == Grant(tmp_path / "cells.mesh")
    assert shapes.endswith("|neuroglancer-precomputed:") and layer["segments"] == ["7"]


def test_the_view_opens_with_the_largest_meshes_whatever_the_sizes_of_skeletons(tmp_path: Path) -> None:
    labels = write(tmp_path / "cells.ome.zarr", np.full((4, 64, 64), 7, np.uint32), "labels")
    meshes, skeletons = "neuroglancer_multilod_draco", "neuroglancer_skeletons"
    sizes = {"a.skeletons": (skeletons, {7: 10, 8: 999}), "b.mesh": (meshes, {7: 200, 8: 100})}
    for name, (kind, objects) in sizes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "info").write_text(json.dumps({"@type": kind, "segmentation": "cells.ome.zarr"}))
        for label, size in objects.items():
            (tmp_path / name / str(label)).write_bytes(bytes(size))
    (layer,) = volume_scene(labels, key=b"key")["layers"]
    assert layer["segments"] == ["7", "8"]
