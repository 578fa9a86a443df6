"""What is exported says the same as the model, passes the validators, and comes back; what could run code is never unpickled."""

import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from emkit.errors import DataError, PathError
from emkit.membrane.bioimageio_files import STATE, VALIDATOR, read_bioimageio, write_bioimageio
from emkit.membrane.model import Model, Target
from emkit.membrane.onnx_files import example, read_onnx, run_onnx, write_onnx
from tests.membrane.networks import network_of

ROOT = Path(__file__).parents[2]


def alike(a: Model, b: Model) -> bool:
    states = a.network.state_dict(), b.network.state_dict()
    counted = "num_batches_tracked"
    same = all(torch.equal(states[0][name], states[1][name]) for name in states[0] if not name.endswith(counted))
    return same and a.configuration == b.configuration and not b.network.training


@pytest.mark.parametrize("dim", [2, 3])
def test_onnx_says_the_same_at_any_size_and_comes_back(dim: int, tmp_path: Path) -> None:
    model = network_of(Target("membrane"), Target("affinity", ((0, -1, 0), (0, 0, -1))), dim=dim)
    assert write_onnx(model, tmp_path / "m.onnx") < 1e-4
    gray = np.tile(example(model).numpy(), (2, 1, *[1] * (dim - 1), 2))  # two at once, one side twice as long
    with torch.inference_mode():
        expected = torch.sigmoid(model.network((torch.from_numpy(gray) - model.mean) / model.std)).numpy()
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", gray), expected, atol=1e-4)
    assert alike(model, read_onnx(tmp_path / "m.onnx"))


def test_a_folder_of_bioimage_io_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network_of()
    monkeypatch.setenv(VALIDATOR, str(tmp_path / "nowhere"))
    said = write_bioimageio(model, tmp_path, name="membranes of a test", license_name="CC-BY-4.0", authors=("A. Tester",))
    assert "not validated" in said and "Make it with scripts/bioimageio" in said
    assert alike(model, read_bioimageio(tmp_path))


@pytest.mark.campaign
def test_a_folder_of_bioimage_io_passes_its_validator(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("validator")
    subprocess.run([ROOT / "scripts/bioimageio", place], check=True)
    monkeypatch.setenv(VALIDATOR, str(place))
    (folder := tmp_path / "model").mkdir()
    said = write_bioimageio(network_of(), folder, name="membranes of a test", license_name="CC-BY-4.0", authors=("A. Tester",))
    assert said == "passes the validator of bioimage.io"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("run"),)  # type: ignore[return-value]


def test_what_is_no_export_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(PathError, match="m.onnx"):
        read_onnx(tmp_path / "m.onnx")
    with pytest.raises(PathError, match="holds no network of emkit"):
        read_bioimageio(tmp_path)
    write_bioimageio(network_of(), tmp_path, name="membranes of a test", license_name=None, authors=())
    with (tmp_path / STATE).open("wb") as file:
        pickle.dump(Evil(), file, protocol=2)
    with pytest.raises(DataError, match="can be read safely"):
        read_bioimageio(tmp_path)
    assert not Path("run").exists()
