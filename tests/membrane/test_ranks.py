"""Processes that learn from one batch together do what one does, and go on to the same bytes when one of them or all are lost."""

import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.numpy import load_file

import emkit
from emkit.cli import main
from emkit.errors import ParameterError, ResourceError
from emkit.membrane.model import build_network, read_configuration
from emkit.membrane.ranks import own_device
from emkit.params import Call
from emkit.progress import Cancelled, Tick, listening
from emkit.run.drive import execute
from emkit.run.place import Place
from emkit.run.pool import nursery
from emkit.run.step import bind, plan_of
from emkit.steps.curves import ask_to_stop
from tests.steps.test_training import NM, cells, folder

TOLERANCE = 0.03  # of the way that all weights have gone: activations are rounded to bfloat16, and sums have another order
TWO = Place("local", count=2)
LEARNS: dict[str, Any] = {"steps": 50, "width": 4, "patch_px": 32, "batch": 2, "rate": 0.02, "processes": 2}  # two parts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and labels of five of them."""
    place = tmp_path_factory.mktemp("ranks")
    gray, walls = cells()
    folder(place / "images", gray)
    folder(place / "labels", walls[:5].astype("uint8"))
    return place


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    """A model that two processes have made."""
    execute(call(place, out := place / "undisturbed"), on=TWO)
    return out


def call(place: Path, out: Path, **more: Any) -> Call:
    given = {"images": place / "images", "labels": place / "labels", "label_kind": "membrane", "voxel_size_nm": NM}
    return bind(emkit.train_membranes, out=out, **(given | LEARNS | more))


def test_two_processes_learn_what_one_does(place: Path, tmp_path: Path) -> None:
    told = ["--images", place / "images", "--labels", place / "labels", "--label-kind", "membrane", "--voxel-size-nm", *NM]
    told += ["--target", "membrane", "distance", "--width", 4, "--patch-px", 32, "--batch", 4, "--rate", 0.02, "--steps", 3]
    for count in (1, 2):
        words = [*told, "--processes", count, "--on", TWO, "-o", tmp_path / str(count)]
        assert main(["train-membranes", *map(str, words)]) == 0
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in "12")
    first = {name: held.numpy() for name, held in build_network(read_configuration(tmp_path / "1"), 0).state_dict().items()}
    apart, gone = (sum(float(((one[name] - other[name]) ** 2).sum()) for name in first) ** 0.5 for other in (two, first))
    assert 0 < apart <= TOLERANCE * gone, (apart, gone)
    points = [(tmp_path / name / "points.jsonl").read_text().count("\n") for name in "12"]
    assert points[0] == points[1] > 1


@pytest.mark.campaign
def test_lost_processes_are_begun_again_to_the_same_bytes(place: Path, undisturbed: Path, tmp_path: Path) -> None:
    """All of them after the first part, and one in the middle of the second."""
    points = tmp_path / "unfinished-m" / "checkpoints" / "1.jsonl"
    ended: list[str] = []
    lost: list[int] = []

    def hear(tick: Tick) -> None:
        if tick.done == tick.total:
            ended.append(tick.what)

    def kill_one() -> None:
        while not over.wait(0.01):
            if points.exists() and points.read_text().count("\n") > 2:
                _, victim = psutil.Process(nursery(1).process.pid).children()
                victim.kill()
                lost.append(victim.pid)
                return

    again, over = call(place, tmp_path / "m"), threading.Event()
    with listening(hear, stop=lambda: "train 1 of 2" in ended), pytest.raises(Cancelled):
        execute(again, on=TWO)
    killer = threading.Thread(target=kill_one)
    killer.start()
    execute(again, on=TWO)
    over.set()
    killer.join()
    assert lost
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "m" / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.campaign
def test_all_of_them_stop_when_they_are_to(place: Path, tmp_path: Path) -> None:
    def hear(tick: Tick) -> None:
        if (tick.what, tick.done) == ("train", 1):
            ask_to_stop(tmp_path / "m")

    with listening(hear):
        report = execute(call(place, tmp_path / "m"), on=TWO)
    assert [(point.step, point.stopped) for point in report.curve] == [(25, False), (25, True)]
    assert read_configuration(tmp_path / "m").validation == report.curve[0].scores


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"batch": 3}, ParameterError, "batch: found 3 for 2 processes; needed: a multiple of that"),
        ({"device": "cuda:1"}, ParameterError, "device: found cuda:1 for 2 processes; needed: cuda, and each takes another GPU"),
        ({"processes": 3, "batch": 3}, ResourceError, "needs 3 tasks at the same time; this machine does 2 at once"),
    ],
)
def test_what_cannot_be_done_together(
    more: dict[str, Any], error: type[Exception], words: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        execute(call(place, tmp_path / "m", **more), on=TWO)
    assert not list(tmp_path.iterdir())


def test_each_takes_a_gpu_of_its_own() -> None:
    assert [own_device("cuda", k, 2, 2) for k in range(2)] == ["cuda:0", "cuda:1"] and own_device("cpu", 1, 2, 0) == "cpu"
    with pytest.raises(ResourceError, match="found 1 GPUs for 2 processes on .*, needed one for each"):
        own_device("cuda", 0, 2, 1)


def test_a_plan_has_the_memory_of_all(place: Path) -> None:
    one, two = (plan_of(call(place, place / "m", processes=count), overwrite=True, on=TWO) for count in (1, 2))
    assert two.workers == 2 and two.memory_bytes > 1.5 * one.memory_bytes
