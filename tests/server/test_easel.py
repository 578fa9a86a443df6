"""What is painted and predicted in a window is what the volume has there, at any level; tools keep to predicted membranes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

import emkit
from emkit.blocks import Block
from emkit.errors import ParameterError
from emkit.membrane.model import write_model
from emkit.server.easel import Easel, Window
from tests.io.readers import write_volume
from tests.membrane.networks import network_of
from tests.steps.test_predicting import NM, model_folder

SHAPE = (2, 200, 300)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume, the same as a folder of sections, a model, and what the model predicts."""
    place = tmp_path_factory.mktemp("easel")
    gray = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    write_volume(place / "raw.ome.zarr", gray, NM)
    (place / "raw").mkdir()
    for z, section in enumerate(gray):
        tifffile.imwrite(place / "raw" / f"{z}.tif", section)
    model_folder(place / "model")
    emkit.predict_membranes(place / "model", place / "raw.ome.zarr", out=place / "p.ome.zarr", tta=1)
    return place


def easel(place: Path, out: Path, source: str = "raw.ome.zarr") -> Easel:
    made = Easel(place / source, out / "strokes.ome.zarr", NM)
    made.use(place / "model")
    return made


def painted(made: Easel) -> np.ndarray:
    depth, height, width = made.shape
    return made.strokes.read(Block((0, depth), (0, height), (0, width)))


@pytest.mark.parametrize("source", ["raw.ome.zarr", "raw"])
def test_windows_show_what_predict_membranes_writes_where_it_was_asked(source: str, place: Path, tmp_path: Path) -> None:
    expected = np.asarray(zarr.open_array(place / "p.ome.zarr" / "0", mode="r"))
    made, window = easel(place, tmp_path, source), Window(1, 30, 50, 100, 120)
    assert not made.look(window).known.any()
    made.predict(window)
    found = made.look(Window(1, 0, 0, 200, 300))
    assert found.known[30:130, 50:170].all() and found.known.sum() == 100 * 120
    np.testing.assert_array_equal(found.probability[30:130, 50:170], expected[1, 30:130, 50:170])
    assert not made.look(Window(0, 30, 50, 100, 120)).known.any()
    assert found.gray.std() > 50


def test_a_model_that_was_replaced_is_read_again(place: Path, tmp_path: Path) -> None:
    made, window, model = easel(place, tmp_path), Window(1, 30, 50, 100, 120), model_folder(tmp_path / "model")
    made.use(model)
    made.predict(window)
    assert np.ptp(made.look(window).probability) > 0
    shutil.rmtree(model)
    model.mkdir()
    flat = network_of()
    for weights in flat.network.parameters():
        torch.nn.init.zeros_(weights)
    write_model(model, flat.network, flat.configuration)
    made.use(model)
    made.predict(window)
    assert np.ptp(made.look(window).probability) == 0


def test_tools_that_keep_to_membranes_do_and_paint_only_where_there_is_a_prediction(place: Path, tmp_path: Path) -> None:
    made, window = easel(place, tmp_path), Window(0, 40, 40, 100, 100)
    with pytest.raises(ParameterError, match="Press Predict here"):
        made.paint("within", 1, [(80, 80)], 10, window)
    made.predict(window)
    probability = made.look(window).probability
    assert made.paint("within", 1, [(50, 20), (50, 190)], 10, window)
    assert made.paint("within", 2, [(50, 20), (50, 190)], 10, window)
    found = painted(made)[0]
    assert not found[:, :40].any() and not found[:, 140:].any() and (found[50, 40:140] != 0).all()
    inside = found[40:140, 40:140]
    assert (probability[inside == 1] < 127.5).all() and (probability[inside == 2] >= 127.5).all()
    assert made.paint("erase", 1, [(50, 20), (50, 190)], 12, window) and not painted(made).any()

    y, x = np.argwhere(probability < 100)[0] + 40
    assert made.paint("fill", 1, [(float(y), float(x))], 1, window)
    filled = painted(made)[0] == 1
    assert filled[y, x] and (probability[filled[40:140, 40:140]] < 127.5).all()
    assert not made.paint("fill", 1, [(0.0, 0.0)], 1, window), "beyond the window"


def test_a_coarser_level_is_painted_at_full_size(place: Path, tmp_path: Path) -> None:
    made, window = easel(place, tmp_path), Window(0, 10, 10, 60, 60, level=1)
    assert made.level_shapes[1] == (2, 100, 150)
    made.predict(window)
    probability = made.look(window).probability
    assert made.paint("within", 2, [(80.0, 80.0)], 300, window)
    np.testing.assert_array_equal(painted(made)[0, 20:140, 20:140] == 2, (probability >= 127.5).repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(made.look(window).painted == 2, probability >= 127.5)


def test_without_a_model_there_is_paint_and_a_word_what_to_do(place: Path, tmp_path: Path) -> None:
    made, window = Easel(place / "raw.ome.zarr", tmp_path / "strokes.ome.zarr"), Window(0, 0, 0, 64, 64)
    assert made.paint("brush", 2, [(5.0, 5.0)], 2, window) and made.look(window).painted.any()
    with pytest.raises(ParameterError, match="There is no model yet: paint"):
        made.predict(window)
    with pytest.raises(ParameterError, match="voxel_size_nm is missing"):
        Easel(place / "raw", tmp_path / "other.ome.zarr")
