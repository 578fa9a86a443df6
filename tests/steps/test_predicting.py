"""Probabilities by the step: the whole from any blocks, a box of it, other voxels, and what is refused before work."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import emkit
from emkit.blocks import Block
from emkit.cli import main
from emkit.errors import DataError, ParameterError, PathError, ResourceError
from emkit.membrane.model import Model, Target, load_model, write_model
from emkit.membrane.prediction import read_prediction
from emkit.params import Call
from tests.io.readers import write_volume
from tests.membrane.networks import network_of

NM = (50.0, 4.0, 4.0)


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    """Three sections, one of them packed; no side is a multiple of the stride."""
    (folder := tmp_path / "raw").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (3, 150, 133), dtype=np.uint8)
    for z, section in enumerate(pixels):
        tifffile.imwrite(folder / f"{z}.tif", section, compression="zlib" if z == 1 else None)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "model", Target("membrane"), Target("distance"))


def model_folder(folder: Path, *targets: Target, dim: int = 2) -> Path:
    made = network_of(*targets, dim=dim)
    folder.mkdir()
    write_model(folder, made.network, made.configuration)
    return folder


def read(path: Path) -> Any:
    return np.asarray(zarr.open_array(path / "0", mode="r"))


def expected(model: Model, gray: Any) -> Any:
    """What the network says of the whole at once, in the precision that is fastest here."""
    from emkit.membrane.inference import Predictor, fastest_precision

    every = Block(*((0, n) for n in gray.shape))
    return Predictor(model, precision=fastest_precision("cpu")).predict(gray, every, every, gray.shape)


def test_a_prediction_by_function_and_command(
    sections: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = emkit.predict_membranes(model, sections, out=tmp_path / "p.ome.zarr", voxel_size_nm=NM, tta=1, dtype="float32")
    gray = np.stack([tifffile.imread(path) for path in sorted(sections.iterdir())])
    said = expected(load_model(model), gray)
    np.testing.assert_array_equal(read(tmp_path / "p.ome.zarr"), said[0])
    np.testing.assert_array_equal(read(tmp_path / "p.ome.zarr" / "distance"), said[1])
    assert report.shape == gray.shape and "membrane, distance: 3 x 150 x 133" in str(report)
    assert emkit.open_volume(tmp_path / "p.ome.zarr").attrs["voxel_size_nm"] == NM
    told = read_prediction(tmp_path / "p.ome.zarr")
    assert told.dim == 2 and [channel.group for channel in told.channels] == ["", "distance"]
    assert sorted(path.name for path in (tmp_path / "p.ome.zarr").iterdir() if path.is_dir()) == ["0", "1", "distance"]

    box = ["--voxel-size-nm", "50", "4", "4", "--tta", "1", "--box", "1:3,60:150,20:77", "-o", str(tmp_path / "box.ome.zarr")]
    assert main(["predict-membranes", str(model), str(sections), *box]) == 0
    np.testing.assert_array_equal(read(tmp_path / "box.ome.zarr"), np.rint(said[0, 1:3, 60:150, 20:77] * 255))
    assert emkit.open_volume(tmp_path / "box.ome.zarr").coords["y"][0] == 60 * 4.0
    assert "one look" in capsys.readouterr().out


def test_other_voxels_are_resampled_and_it_is_said(sections: Path, model: Path, tmp_path: Path) -> None:
    report = emkit.predict_membranes(model, sections, out=tmp_path / "p.ome.zarr", voxel_size_nm=(50, 5, 5), tta=1)
    assert "resampled: voxels are 50 x 5 x 5 nm, those that the model was trained on 50 x 4 x 4 nm" in str(report)
    whole = read(tmp_path / "p.ome.zarr")
    assert whole.shape == (3, 150, 133)
    part = dict(out=tmp_path / "b.ome.zarr", voxel_size_nm=(50, 5, 5), tta=1, box="0:1,31:97,40:133")
    emkit.predict_membranes(model, sections, **part)
    np.testing.assert_array_equal(read(tmp_path / "b.ome.zarr"), whole[:1, 31:97, 40:133])


def test_half_of_the_looks_are_from_further_away(sections: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model", Target("membrane"))
    common: dict[str, Any] = {"voxel_size_nm": NM, "dtype": "float32"}
    report = emkit.predict_membranes(model, sections, out=tmp_path / "both.ome.zarr", tta=2, **common)
    assert "mean over 2 looks" in str(report)
    near = emkit.predict_membranes(model, sections, out=tmp_path / "near.ome.zarr", tta=1, **common)
    settings = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(settings | {"voxel_size_nm": (50.0, 5.0, 5.0)}))
    emkit.predict_membranes(model, sections, out=tmp_path / "far.ome.zarr", tta=1, **common)
    both, *parts = (read(tmp_path / f"{name}.ome.zarr") for name in ("both", "near", "far"))
    np.testing.assert_allclose(both, np.mean(parts, 0), atol=1e-6)
    assert near.shape == both.shape and np.abs(parts[0] - parts[1]).max() > 0.01
    emkit.predict_membranes(model, sections, out=tmp_path / "box.ome.zarr", tta=2, box="1:3,60:150,20:77", **common)
    assert read(tmp_path / "box.ome.zarr").shape == (2, 90, 57)


def test_a_box_of_a_folder_is_seen_with_the_sections_around_it(tmp_path: Path) -> None:
    (raw := tmp_path / "raw").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (20, 32, 32), dtype=np.uint8)
    for z, section in enumerate(pixels):
        tifffile.imwrite(raw / f"{z:02d}.tif", section, compression="zlib")
    model = model_folder(tmp_path / "model", Target("membrane"), dim=3)
    emkit.predict_membranes(model, raw, out=tmp_path / "p.ome.zarr", voxel_size_nm=(8, 8, 8), tta=1, box="15:16,0:32,0:32")
    said = expected(load_model(model), pixels)
    np.testing.assert_array_equal(read(tmp_path / "p.ome.zarr"), np.rint(said[0, 15:16] * 255))


def test_affinities_alone_still_tell_of_membranes(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).integers(0, 255, (24, 40, 32), dtype=np.uint8)
    write_volume(tmp_path / "raw.ome.zarr", gray, (8.0, 8.0, 8.0))
    model = model_folder(tmp_path / "model", Target("affinity", ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, -9))), dim=3)
    emkit.predict_membranes(model, tmp_path / "raw.ome.zarr", out=tmp_path / "p.ome.zarr", tta=4, dtype="float32")
    near = [read(tmp_path / "p.ome.zarr" / f"affinity_{k}") for k in range(3)]
    np.testing.assert_allclose(read(tmp_path / "p.ome.zarr"), 1 - np.mean(near, 0), atol=1e-6)
    told = read_prediction(tmp_path / "p.ome.zarr")
    assert told.dim == 3 and told.channels[4].offset == (0, 0, -9) and told.channels[4].group == "affinity_3"


def test_gray_values_unlike_those_of_the_training_are_told(sections: Path, model: Path, tmp_path: Path) -> None:
    settings = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(settings | {"mean": 30_000.0, "std": 5_000.0}))
    common = dict(voxel_size_nm=NM, tta=1, box="0:1,0:64,0:64")
    report = emkit.predict_membranes(model, sections, out=tmp_path / "p.ome.zarr", **common)
    assert "predict with --gray source" in str(report)
    report = emkit.predict_membranes(model, sections, out=tmp_path / "q.ome.zarr", gray="source", **common)
    assert "--gray source" not in str(report) and report.prediction.gray[0] == pytest.approx(127, abs=3)


def refused(error: type[Exception], match: str, *given: Any, **more: Any) -> None:
    with pytest.raises(error, match=match):
        emkit.predict_membranes(*given, **{"voxel_size_nm": NM, "tta": 1} | more)


def test_what_is_refused_before_work(sections: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.ome.zarr"
    refused(ParameterError, r"box: found x 0:200, but the source has x 0:133", model, sections, out=out, box="0:1,0:10,0:200")
    refused(ParameterError, "needed z0:z1,y0:y1,x0:x1", model, sections, out=out, box="0:1,10")
    refused(
        ParameterError,
        r"trained on 50 x 4 x 4 nm: 10 times less. Is it given in nm",
        model,
        sections,
        out=out,
        voxel_size_nm=(500, 40, 40),
    )
    refused(ParameterError, "voxel_size_nm is missing", model, sections, out=out, voxel_size_nm=None)
    refused(PathError, "is no model", sections, sections, out=out)
    (tmp_path / "model.pt").write_bytes(b"\x80\x04junk")
    refused(PathError, "model.pt is a file; needed: a folder", tmp_path / "model.pt", sections, out=out)
    (broken := model_folder(tmp_path / "broken")).joinpath("weights.safetensors").write_bytes(b"\x80\x04junk")
    refused(DataError, "does not hold the weights", broken, sections, out=out)
    deep = model_folder(tmp_path / "deep", dim=3)
    refused(ParameterError, "looks at volumes", deep, sections / "0.tif", out=out, voxel_size_nm=(8, 8, 8))
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        refused(ResourceError, "sees 0 GPUs here", model, sections, out=out, device="cuda")
    assert not out.exists()


def test_values_that_are_not_finite_are_refused_with_their_place(model: Path, tmp_path: Path) -> None:
    gray = np.ones((2, 40, 40), np.float32)
    gray[1, 7, 9] = np.nan
    write_volume(tmp_path / "raw.ome.zarr", gray, NM)
    refused(DataError, r"near \(z=1, y=7, x=9\)", model, tmp_path / "raw.ome.zarr", out=tmp_path / "p.ome.zarr")


def test_a_call_is_found_as_a_recipe(model: Path, sections: Path, tmp_path: Path) -> None:
    call = Call.of(emkit.predict_membranes, {"model": model, "source": sections, "out": tmp_path / "p", "voxel_size_nm": NM})
    assert call.as_json()["tta"] == 8 and call.as_json()["dtype"] == "uint8"
