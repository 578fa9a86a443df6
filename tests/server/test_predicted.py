"""Chunks that are looked at are what predict-membranes writes there; only who holds a capability for both folders gets them."""

from pathlib import Path

import numpy as np
import pytest
import zarr

import emkit
from emkit.errors import ParameterError
from emkit.server.capability import Grant, sign, verify
from emkit.server.predicted import Predicted, predicted_layer
from tests.io.readers import write_volume
from tests.steps.test_predicting import NM, model_folder

CHUNK = (1, 512, 512)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    gray = np.random.default_rng(0).integers(0, 255, (2, 70, 560), dtype=np.uint8)
    write_volume(tmp_path / "raw.ome.zarr", gray, NM)
    return tmp_path / "raw.ome.zarr", model_folder(tmp_path / "model")


def test_a_chunk_is_what_the_step_writes_there(folders: tuple[Path, Path], tmp_path: Path) -> None:
    volume, model = folders
    shown = Predicted(volume, model)
    emkit.predict_membranes(model, volume, out=tmp_path / "p.ome.zarr", tta=1)
    expected = np.asarray(zarr.open_array(tmp_path / "p.ome.zarr" / "0", mode="r"))
    found = np.frombuffer(shown.get("0/c/1/0/1") or b"", np.uint8).reshape(CHUNK)
    np.testing.assert_array_equal(found[:, :70, :48], expected[1:, :, 512:])
    assert not found[:, 70:].any() and not found[:, :, 48:].any()
    assert shown.get("0/c/0/0/0", lambda: True) is None  # nobody waits for it
    assert shown.get("0/c/2/0/0") is None and shown.get("1/zarr.json") is None and shown.get("../x") is None
    for name in ("zarr.json", "0/zarr.json", "0/c/0/0/0"):
        (file := tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(shown.get(name) or b"")
    copied = zarr.open_array(tmp_path / "copy" / "0", mode="r")
    np.testing.assert_array_equal(copied[0, :, :512], expected[0, :, :512])


def test_the_layer_grants_both_folders_and_refuses_other_voxels(folders: tuple[Path, Path]) -> None:
    volume, model = folders
    layer = predicted_layer(volume, model, b"key")
    assert verify(layer["source"].split("/")[2], b"key") == Grant(volume.resolve(), model=model.resolve())
    assert sign(Grant(volume), b"key") != sign(Grant(volume, model=model), b"key")
    write_volume(volume.with_name("coarse.ome.zarr"), np.zeros((2, 70, 560), np.uint8), (500.0, 40.0, 40.0))
    with pytest.raises(ParameterError, match="Is it given in nm"):
        predicted_layer(volume.with_name("coarse.ome.zarr"), model, b"key")
