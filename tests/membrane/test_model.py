"""A model folder: written and read back, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emkit.errors import DataError, ParameterError, PathError
from emkit.membrane.model import (
    CONFIGURATION,
    WEIGHTS,
    Configuration,
    Target,
    build_network,
    load_model,
    read_configuration,
    write_model,
)

SMALL = Configuration(
    architecture="unet2d",
    options={"width": 4, "depth": 2, "stem": 2},
    dim=2,
    voxel_size_nm=(50.0, 4.0, 4.0),
    targets=(Target("membrane"), Target("affinity", ((0, -1, 0), (0, 0, -1)))),
    mean=120.0,
    std=30.0,
    validation={"iou": 0.5},
    training={"0.png": "ab" * 32},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write_model(tmp_path, build_network(SMALL), SMALL)
    return tmp_path


def test_what_is_written_is_read_back(folder: Path) -> None:
    torch.manual_seed(0)
    expected, model = build_network(SMALL).eval(), load_model(folder)
    image = torch.randn(1, 1, 16, 24)
    with torch.inference_mode():
        logits = model.network(image)
        assert torch.equal(logits, expected(image)) and logits.shape == (1, 3, 16, 24)
    assert model.configuration == SMALL and not model.network.training
    assert model.dim == 2 and model.stride == (1, 4, 4) and model.halo == (0, 20, 20)
    assert {name: part.shape[1] for name, part in model.split(logits).items()} == {"membrane": 1, "affinity": 2}


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"is no model: it has no model.json.*train-membranes"):
        load_model(tmp_path / "nothing")
    (folder / WEIGHTS).write_bytes(b"\x80\x04no pickle is ever read")
    with pytest.raises(DataError, match="does not hold the weights"):
        load_model(folder)
    write_model(folder, build_network(replace(SMALL, options={"width": 8, "depth": 2, "stem": 2})), SMALL)
    with pytest.raises(DataError, match="does not hold the weights"):
        load_model(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(PathError, match="has no weights.safetensors"):
        load_model(folder)
    (folder / CONFIGURATION).write_text('{"architecture": "unet2d"}')
    with pytest.raises(DataError, match="options: Field required"):
        read_configuration(folder)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ParameterError, match="no architecture 'resnet'; there are unet2d"):
        build_network(replace(SMALL, architecture="resnet"))
