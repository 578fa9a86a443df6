"""Membranes learned from labels by the step, the same ones after a cut, and what is refused before work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from imagecodecs import png_encode
from safetensors.numpy import load_file

import emkit
from emkit.cli import main
from emkit.errors import DataError, ParameterError, PathError, ResourceError
from emkit.membrane.model import load_model, read_configuration
from emkit.params import Call
from emkit.progress import Cancelled, Tick, listening
from emkit.run.drive import execute
from emkit.run.place import Place
from emkit.run.step import bind
from emkit.steps.curves import Standing, ask_to_stop, standing
from tests.io.readers import write_volume

NM = (50.0, 4.0, 4.0)
SMALL: dict[str, Any] = {"steps": 4, "width": 4, "patch_px": 32, "batch": 2, "voxel_size_nm": NM}
LEARNS: dict[str, Any] = {"steps": 50, "batch": 4, "rate": 0.02}  # two parts


def cells(depth: int = 6, side: int = 96) -> tuple[Any, Any]:
    """Sections of square cells with dark walls, and where the walls are."""
    walls = np.zeros((depth, side, side), bool)
    for z in range(depth):
        walls[z, z::24] = walls[z, z + 1 :: 24] = walls[z, :, 2 * z :: 24] = walls[z, :, 2 * z + 1 :: 24] = True
    noise = np.random.default_rng(0).normal(size=walls.shape)
    return (np.where(walls, 80, 150) + 12 * noise).clip(0, 255).astype(np.uint8), walls


def folder(path: Path, sections: Any, first: int = 0) -> Path:
    path.mkdir()
    for z, section in enumerate(sections, first):
        tifffile.imwrite(path / f"{z:02d}.tif", section)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, labels of five of them, and a model that the command made of them."""
    place = tmp_path_factory.mktemp("learned")
    gray, walls = cells()
    told = ["--images", folder(place / "images", gray), "--labels", folder(place / "labels", walls[:5].astype(np.uint8))]
    told += ["--label-kind", "membrane", "--voxel-size-nm", *NM, "--width", SMALL["width"], "--patch-px", SMALL["patch_px"]]
    told += ["--steps", LEARNS["steps"], "--batch", LEARNS["batch"], "--rate", LEARNS["rate"], "-o", place / "model"]
    assert main(["train-membranes", *map(str, told)]) == 0
    return place


@pytest.fixture
def one_process() -> Iterator[Place]:
    """Tasks are done in this process, which then has as many threads for torch as before."""
    threads = torch.get_num_threads()
    yield Place.parse("serial")
    torch.set_num_threads(threads)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder(tmp_path / "images", cells()[0])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return folder(tmp_path / "labels", cells()[1][:5].astype(np.uint8))


def call(images: Path, labels: Path, out: Path, **more: Any) -> Call:
    return bind(emkit.train_membranes, images=images, labels=labels, out=out, **({"label_kind": "membrane"} | SMALL | more))


def train(images: Path, labels: Path, out: Path, **more: Any) -> Any:
    return execute(call(images, labels, out, **more))


def test_walls_are_learned_by_the_command(place: Path) -> None:
    chance = cells()[1][4].mean()  # the IoU where all is called a wall: 0.16
    configuration = read_configuration(place / "model")
    assert configuration.validation["iou"] > 2.5 * chance and configuration.voxel_size_nm == (50.0, 5.5, 5.5)
    assert set(configuration.training) == {"images", "labels"}
    rows = (place / "model" / "curve.csv").read_text().splitlines()
    assert rows[0] == "step,core_s,loss,iou,f1,v_rand,v_info" and [row.split(",")[0] for row in rows[1:]] == ["25", "50"]
    assert not (place / "model" / "checkpoints").exists()


def test_a_training_that_is_cut_off_goes_on_to_the_same_bytes(place: Path, tmp_path: Path) -> None:
    ended: list[str] = []

    def hear(tick: Tick) -> None:
        if tick.done == tick.total:
            ended.append(tick.what)

    again = call(place / "images", place / "labels", out := tmp_path / "m", **LEARNS)
    with listening(hear, stop=lambda: "train 1 of 2" in ended), pytest.raises(Cancelled):
        execute(again)
    assert ended == ["train 1 of 2"] and not out.exists()
    assert (tmp_path / "unfinished-m" / "checkpoints" / "0.safetensors").is_file()
    ended.clear()
    with listening(hear):
        execute(again)
    assert "train 1 of 2" not in ended and "write" in ended
    for name in ("weights.safetensors", "model.json"):
        assert (out / name).read_bytes() == (place / "model" / name).read_bytes()


def test_a_training_that_is_to_stop_gives_the_model_of_its_best_part(place: Path, tmp_path: Path, one_process: Place) -> None:
    told: list[Standing] = []

    def hear(tick: Tick) -> None:
        if (tick.what, tick.done) == ("train", 1) and (now := standing(tmp_path / "m")):
            told.append(now)
            ask_to_stop(tmp_path / "m")

    with listening(hear):
        report = execute(call(place / "images", place / "labels", tmp_path / "m", **LEARNS), on=one_process)
    first, second = report.curve
    assert (first.step, second.step, second.stopped) == (25, 25, True)
    assert told[0].points[-1] == first and len(told[0].points) == 26 and not told[0].over
    assert read_configuration(tmp_path / "m").validation == first.scores
    after = standing(tmp_path / "m")
    assert after is not None and after.over and after.points[: len(told[0].points)] == told[0].points
    assert after.sample.startswith(b"\x89PNG")


def test_a_part_that_fails_within_a_step_is_tried_again_from_its_beginning(
    images: Path, labels: Path, tmp_path: Path, one_process: Place
) -> None:
    """In the same worker: batch statistics have moved by then, weights have not."""
    execute(call(images, labels, tmp_path / "whole", steps=2), on=one_process)
    seen = 0

    def fail_once(module: Any, *_: Any) -> None:
        nonlocal seen
        if isinstance(module, torch.nn.BatchNorm2d) and module.training:
            seen += 1
            if seen == 20:  # of 14 in a step
                raise OSError("a device that is gone for a moment")

    hook = torch.nn.modules.module.register_module_forward_hook(fail_once)
    try:
        execute(call(images, labels, tmp_path / "again", steps=2), on=one_process)
    finally:
        hook.remove()
    assert seen > 20
    held, found = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "again"))
    assert all((held[name] == found[name]).all() for name in held)


def test_a_model_goes_on_to_learn_but_for_what_is_frozen(place: Path, tmp_path: Path) -> None:
    before = place / "model"
    train(place / "images", place / "labels", tmp_path / "m", continue_from=before, freeze=["down.*"], width=None)
    assert read_configuration(tmp_path / "m").options == read_configuration(before).options
    held, found = (load_file(model / "weights.safetensors") for model in (before, tmp_path / "m"))
    assert all((held[name] == found[name]).all() for name in held if name.startswith("down."))
    assert (held["out.weight"] != found["out.weight"]).any()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"dim": 3}, "is a model of 2D; found dim 3. Pass --dim 2"),
        ({"target": ["contour"]}, "has learned membrane; found contour. Pass --target membrane"),
        ({"voxel_size_nm": (500.0, 40.0, 40.0)}, r"trained on voxels of \(50.0, 5.5, 5.5\) nm .* ten times as much \(in Å\?\)"),
    ],
)
def test_a_model_of_another_kind_is_not_gone_on_from(more: dict[str, Any], words: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=words):
        train(place / "images", place / "labels", tmp_path / "m", continue_from=place / "model", **more)


def test_a_folder_that_is_no_model_is_not_gone_on_from(place: Path, tmp_path: Path) -> None:
    with pytest.raises(PathError, match="is no model"):
        train(place / "images", place / "labels", tmp_path / "m", continue_from=place / "images")


def test_volumes_and_labels_that_lie_within_them(tmp_path: Path) -> None:
    gray, walls = cells(24, 48)
    write_volume(tmp_path / "gray.ome.zarr", gray, (8.0, 8.0, 8.0))
    tifffile.imwrite(tmp_path / "labels.tif", (1 + (np.cumsum(walls, 2) // 2)).astype(np.uint16)[:16], photometric="minisblack")
    report = train(
        folder(tmp_path / "images", gray), tmp_path / "labels.tif", tmp_path / "m", label_kind="instances", dim=3,
        voxel_size_nm=(8.0, 8.0, 8.0), patch_px=16, batch=1, steps=2,
    )  # fmt: skip
    model = load_model(tmp_path / "m")
    assert report.sections == 16 and model.dim == 3 and [target.name for target in model.targets] == ["membrane", "affinity"]
    assert model.configuration.architecture == "unet3d" and model.configuration.channels == 10


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"steps": 3, "cpu_seconds": 5.0}, ParameterError, "found both; give one"),
        ({"target": ["walls"]}, ParameterError, "target: found 'walls'; needed: membrane, foreground"),
        ({"target": ["contour:focal=1"]}, ParameterError, "found the loss 'focal=1' of contour"),
        ({"architecture": "resnet"}, ParameterError, "architecture: found 'resnet'; needed: unet2d"),
        ({"freeze": ["encoder.*"]}, ParameterError, r"no weight is called 'encoder.\*'"),
        ({"patch_px": 40}, ParameterError, r"found 40, .* needed: multiples of \(16, 16\) px, and 32 at least"),
        ({"device": "cuda:7"}, ResourceError, "torch .* sees 0 GPUs here"),
    ],
)
def test_parameters_that_make_no_training(
    more: dict[str, Any], error: type[Exception], words: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        train(images, labels, tmp_path / "m", **more)
    assert not (tmp_path / "m").exists()


def test_a_patch_that_the_labels_have_no_room_for(images: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="a patch of 64 px, .* needs an area of 114 px .* the largest that fits the labels is 16 px"
    ):
        train(images, sparse(tmp_path / "sparse"), tmp_path / "m", label_kind="instances", patch_px=64)


def sparse(path: Path) -> Path:
    """Two cells of 20 x 40 px that touch, in one section; nothing else is labelled."""
    ids = np.zeros((1, 96, 96), np.uint16)
    ids[0, 10:50, 10:30], ids[0, 10:50, 30:50] = 1, 2
    return folder(path, ids)


def test_labels_that_are_none(images: Path, tmp_path: Path) -> None:
    walls = cells()[1]
    floats = folder(tmp_path / "floats", walls.astype(np.float32))
    with pytest.raises(PathError, match="holds float32; needed: whole numbers"):
        train(images, floats, tmp_path / "m")
    (tmp_path / "colours").mkdir()
    (tmp_path / "colours" / "0.png").write_bytes(png_encode(np.repeat(walls[0, :, :, None], 3, 2).astype(np.uint8)))
    with pytest.raises(PathError, match="RGB"):
        train(images, tmp_path / "colours", tmp_path / "m")
    with pytest.raises(DataError, match="no voxel is membrane"):
        train(images, folder(tmp_path / "empty", np.zeros((2, 96, 96), np.uint8)), tmp_path / "m")
    with pytest.raises(PathError, match=r"no overlap: images are numbered 0–5, labels 40–41"):
        train(images, folder(tmp_path / "apart", walls[:2].astype(np.uint8), 40), tmp_path / "m")
    with pytest.raises(PathError, match=r"sections of \(50, 96\) px \(y, x\), those of the images have \(96, 96\)"):
        train(images, folder(tmp_path / "small", walls[:, :50].astype(np.uint8)), tmp_path / "m")


def test_images_that_are_none(labels: Path, tmp_path: Path) -> None:
    gray = cells()[0].astype(np.float32)
    with pytest.raises(DataError, match="every voxel of .* is 7"):
        train(folder(tmp_path / "flat", np.full_like(gray, 7)), labels, tmp_path / "m")
    gray[3, 5, 6] = np.nan
    with pytest.raises(DataError, match=r"not finite.*\(y=5, x=6\)"):
        train(folder(tmp_path / "holes", gray), labels, tmp_path / "m")
    write_volume(volume := tmp_path / "v.ome.zarr", cells()[0], NM)
    with pytest.raises(ParameterError, match=r"v.ome.zarr says .* nm \(z, y, x\), ten times as much \(in Å\?\). Pass nm"):
        train(volume, labels, tmp_path / "m", voxel_size_nm=(500.0, 40.0, 40.0))
