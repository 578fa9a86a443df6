"""A step is refused, planned, gated, driven, resumed, placed and recorded the same way, whatever it computes."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from annotated_types import Ge, Le

from emkit import provenance
from emkit.errors import DataError, EmkitError, ParameterError, PathError, ResourceError
from emkit.params import Call, Positive, Reads, Unit, Writes
from emkit.progress import Cancelled, Tick, listening
from emkit.provenance import Written, written
from emkit.records import read_record
from emkit.run.drive import execute
from emkit.run.output import _exchange, claimed, place, unfinished
from emkit.run.plan import Plan
from emkit.run.stage import stage
from emkit.run.step import Body, bind, plan, plan_of, step

JUDGE = Path(__file__).parents[1] / "judges" / "validate_crate.py"


def done() -> list[str]:
    """The files that tasks have multiplied, in all runs of a test."""
    return Path("../done").read_text().split() if Path("../done").exists() else []


@step
def double_numbers(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("folder")],
    factor: Annotated[Positive, Unit("px")] = 2.0,
    levels: Annotated[int, Ge(1), Le(4)] = 1,
) -> Body[list[float]]:
    """Multiply the number in every file.

    Parameters
    ----------
    source
        Files with a number each.
    out
        A folder of the same names.
    factor
        What each is multiplied by.
    levels
        How often.
    """
    names = sorted(p.name for p in source.iterdir())
    yield Plan(memory_bytes=1000 * len(names), disk_bytes=10 * len(names), seconds=0.1)
    out.mkdir(exist_ok=True)
    yield from stage("double", double, {name: (source / name, out, factor**levels) for name in names}, "files")
    return [float((out / name).read_text()) for name in names]


def double(file: Path, out: Path, factor: float) -> Written:
    try:
        value = float(file.read_text()) * factor
    except ValueError:
        raise DataError(f"{file} holds no number") from None
    (out / file.name).write_text(f"{value}")
    with Path("../done").open("a") as done:  # tasks run in processes of their own
        done.write(f"{file.name}\n")
    return written(out, out / file.name)


@step
def count_files(source: Annotated[Path, Reads("folder")]) -> Body[int]:
    """Count the files of a folder."""
    yield Plan(memory_bytes=10)
    return len(list(source.iterdir()))


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (folder := work / "-numbers é x").mkdir()
    for k in range(6):
        (folder / f"n{k}").write_text(str(k))
    return folder


def test_a_step_is_a_function(numbers: Path) -> None:
    assert double_numbers(numbers, out=Path("a")) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert sorted(os.listdir()) == [numbers.name, "a"]
    assert double_numbers.__doc__ and "factor" in double_numbers.__annotations__


@pytest.mark.parametrize(
    ("changed", "refusal", "said"),
    [
        ({"factor": -1}, ParameterError, r"factor: found -1, needed greater than 0 \(px\)"),
        ({"factor": float("nan")}, ParameterError, "found nan, needed a finite number"),
        ({"levels": 2.5}, ParameterError, "levels: found 2.5"),
        ({"levles": 2}, ParameterError, "unexpected keyword argument 'levles'"),
        ({"source": Path("nowhere")}, PathError, "source: nowhere does not exist; needed: a folder"),
        ({"out": Path("no/a")}, PathError, "make it first"),
        ({"out": Path("-numbers é x/in")}, PathError, "lies in the input"),
        ({"out": Path("..")}, PathError, "holds the input"),
    ],
)
def test_refused_before_work(numbers: Path, changed: dict[str, Any], refusal: type[EmkitError], said: str) -> None:
    with pytest.raises(refusal, match=said):
        double_numbers(**{"source": numbers, "out": Path("a"), **changed})
    assert os.listdir() == [numbers.name] and len(os.listdir(numbers)) == 6 and not done()


def test_to_plan_writes_nothing_and_what_cannot_fit_is_refused(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    assert plan(double_numbers, numbers, out=Path("a")) == Plan(6000, 60, 0.1, workers=cores)
    monkeypatch.setattr("emkit.run.room.memory_left", lambda: 5999)
    with pytest.raises(ResourceError, match="needs 0.0 MB of memory"):
        double_numbers(numbers, out=Path("a"))
    assert os.listdir() == [numbers.name]


def test_a_step_must_plan() -> None:
    with pytest.raises(TypeError, match="yields its Plan"):
        step(lambda: 1)  # type: ignore[arg-type, return-value]


def test_an_output_that_exists_is_kept_until_the_new_one_is_whole(numbers: Path) -> None:
    double_numbers(numbers, out=Path("a"))
    before = provenance.digest(Path("a"))
    call = bind(double_numbers, numbers, out=Path("a"), factor=3)
    with pytest.raises(PathError, match="--overwrite"):
        execute(call)
    (numbers / "n5").write_text("five")
    with pytest.raises(DataError, match="n5 holds no number"):
        execute(call, overwrite=True)
    assert provenance.digest(Path("a")) == before
    (numbers / "n5").write_text("5")
    execute(call, overwrite=True)
    assert Path("a/n5").read_text() == "15.0" and sorted(os.listdir()) == [numbers.name, "a"]


def test_what_was_done_is_not_done_again(numbers: Path) -> None:
    (numbers / "n3").unlink()
    os.mkfifo(numbers / "n3")  # whoever reads it waits for ever
    call = bind(double_numbers, numbers, out=Path("a"))
    with listening(stop=lambda: len(done()) == 5), pytest.raises(Cancelled, match="with 1 task to do"):
        execute(call)
    assert not Path("a").exists()
    writer = threading.Thread(target=(numbers / "n3").write_text, args=("3",))
    writer.start()
    assert execute(call) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    writer.join()
    assert sorted(done()) == [f"n{k}" for k in range(6)]


def test_other_arguments_or_inputs_start_anew(numbers: Path) -> None:
    (numbers / "n5").write_text("five")
    with pytest.raises(DataError):
        double_numbers(numbers, out=Path("a"))
    (numbers / "n0").write_text("100")
    (numbers / "n5").write_text("5")
    assert double_numbers(numbers, out=Path("a"))[0] == 200.0


def test_two_runs_onto_one_output(numbers: Path) -> None:
    with claimed(Path("a")), pytest.raises(PathError, match="another run is writing a now"):
        double_numbers(numbers, out=Path("a"))


def test_what_a_kill_left_between_two_renames_is_put_back(numbers: Path) -> None:
    double_numbers(numbers, out=Path("a"))
    Path("a").rename("replaced-a")
    with pytest.raises(RuntimeError), claimed(Path("a")):
        assert Path("a/n1").read_text() == "2.0"
        raise RuntimeError


@pytest.mark.parametrize("exchanges", [True, False])
def test_placing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    if not exchanges:
        monkeypatch.setattr("emkit.run.output._exchange", lambda a, b: False)
    out = tmp_path / "out"
    for k in range(2):
        unfinished(out).mkdir()
        (unfinished(out) / str(k)).touch()
        place(out)
        assert os.listdir(tmp_path) == ["out"] and os.listdir(out) == [str(k)]


def test_exchange_tells_other_troubles(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _exchange(tmp_path / "a", tmp_path / "b")


def test_any_number_of_workers_gives_the_same(numbers: Path) -> None:
    for workers in (1, 2, 5):
        ticks: list[Tick] = []
        with listening(ticks.append):
            execute(bind(double_numbers, numbers, out=Path(f"a{workers}")), workers=workers)
        assert ticks[-1].done == ticks[-1].total == 6 and ticks[-1].fraction == 1.0
    assert provenance.digest(Path("a1")) == provenance.digest(Path("a2")) == provenance.digest(Path("a5"))


def test_the_record_is_valid(numbers: Path) -> None:
    double_numbers(numbers, out=Path("a.x"))
    graph = json.loads(Path("a.x", provenance.METADATA).read_text())["@graph"]
    action = next(e for e in graph if e["@id"] == "#run")
    assert "planned" in action["description"] and "used" in action["description"]
    assert provenance.manifest(Path("a.x")) == Path("a.x", provenance.MANIFEST).read_text()
    record = read_record(Path("a.x"))
    assert record.inputs == {"source": (str(numbers), provenance.digest(numbers))} and record.versions == provenance.versions()
    judged = subprocess.run([sys.executable, JUDGE, "a.x"], capture_output=True, text=True)
    assert judged.stdout.startswith("valid"), judged.stdout + judged.stderr


def test_a_step_that_writes_nothing_leaves_its_record_among_the_runs(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(numbers.parent / "runs"))
    assert count_files(numbers) == 6
    (folder,) = Path("runs").iterdir()
    assert sorted(os.listdir(folder)) == [
        "events.jsonl", "journal.jsonl", "lock", "manifest.sha256", "recipe.toml", "record.sha256", "result.json",
        "ro-crate-metadata.json", "run.json", "state.json",
    ]  # fmt: skip
    assert Path(folder, "manifest.sha256").read_text().split()[1:] == ["result.json"]
    assert (folder / "result.json").read_text() == "6"
    judged = subprocess.run([sys.executable, JUDGE, folder], capture_output=True, text=True)
    assert judged.stdout.startswith("valid"), judged.stdout + judged.stderr


def test_cancel_ends_a_task_at_work(numbers: Path) -> None:
    os.mkfifo(numbers / "n6")  # whoever reads it waits for ever
    with listening(stop=lambda: len(done()) == 6), pytest.raises(Cancelled, match="with 1 task to do"):
        double_numbers(numbers, out=Path("a"))
    (numbers / "n6").unlink()
    assert double_numbers(numbers, out=Path("a")) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_planning_a_call_checks_its_paths(numbers: Path) -> None:
    call = Call.of(double_numbers, {"source": str(numbers), "out": "a", "factor": "2.5", "levels": "2"})
    assert call.values["factor"] == 2.5 and plan_of(call, overwrite=False).disk_bytes == 60
    assert call.absolute().out == Path.cwd() / "a" and np.prod([call.as_json()["levels"], 1]) == 2
