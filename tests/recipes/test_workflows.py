"""Several steps as one run: what is done is kept, what changed is done anew, and whatever is killed goes on."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from emkit.cli import main
from emkit.provenance import digest
from emkit.run.folder import State
from emkit.runs import all_runs, find_run
from tests.recipes.conftest import EMKIT, PATIENCE_S, emkit, until

STEPS = """
[[step]]
name = "raw"
step = "make_phantom"
arguments = { out = "raw", sections = 3, size_px = 128 }

[[step]]
name = "aligned"
step = "align_sections"
arguments = { source = "@raw", out = "aligned.ome.zarr", voxel_size_nm = [45.0, 4.6, 4.6] }

[[step]]
name = "measured"
step = "measure_error"
arguments = { volume = "@aligned", truth = "@raw", out = "errors.csv" }
"""
SWEEP = """
[sweep]
aligned.downscale = [2, 1]
raw.seed = [1, 2]

[table]
error = "measured.error_px"
aggregate = "median"
"""
LONG = '[[step]]\nname = "{0}"\nstep = "make_phantom"\narguments = {{ out = "{0}", sections = 20, size_px = 192 }}\n'


def write(text: str) -> str:
    Path("w.toml").write_text(text)
    return "w.toml"


def test_steps_run_in_their_order_and_what_is_there_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write(STEPS)
    assert main(["run", recipe, "--plan"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned[0].startswith("raw: ") and "memory" in planned[0] and planned[1] == "aligned: known once raw is there"
    assert planned[-1].startswith("All: ") and "2 more" in planned[-1] and not Path("raw").exists()

    assert main(["run", recipe]) == 0
    told, heard = capsys.readouterr()
    assert [line.split()[0] for line in told.splitlines()] == ["raw:", "aligned:", "measured:"] and told.count("done in") == 3
    assert "1/3 raw: draw" in heard and "2/3 aligned: match" in heard
    (run,) = all_runs()
    assert run.state is State.DONE and len(list((run.path / "parts").iterdir())) == 3
    assert find_run("last") == find_run("errors.csv") == run

    before = digest(Path("aligned.ome.zarr"))
    assert main(["run", recipe]) == 0 and capsys.readouterr().out.count(": kept: ") == 3
    assert main(["run", recipe, "--plan"]) == 0 and capsys.readouterr().out.count("there already") == 3

    # an input that is others' now: what reads it is done anew, what reads that as well
    (Path("raw") / "section_01.tif").write_bytes((Path("raw") / "section_00.tif").read_bytes())
    written_anew = STEPS.replace('name = "raw"\nstep = "make_phantom"', 'name = "other"\nstep = "make_phantom"')
    written_anew = written_anew.replace('out = "raw"', 'out = "other"').replace('"@raw"', '"raw"')
    assert main(["run", write(written_anew)]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["done", "done", "done"]
    assert digest(Path("aligned.ome.zarr")) != before


def test_a_step_whose_output_is_lost_is_done_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write(STEPS)]) == 0
    capsys.readouterr()
    emptied = Path("aligned.ome.zarr")
    emptied.rename("moved")
    assert main(["run", "w.toml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1].rstrip(":") for line in told] == ["kept", "done", "kept"]  # the same bytes: what reads them still holds
    assert digest(Path("moved")) == digest(emptied)


def test_what_another_call_made_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write(STEPS)]) == 0
    Path("raw").rename("kept-raw")
    recipe = write(STEPS.replace('out = "aligned.ome.zarr"', 'out = "aligned.ome.zarr", max_shift_px = 60'))
    assert main(["run", recipe]) == 3
    told = capsys.readouterr().err
    assert "aligned: out: " in told and "made with max_shift_px = 200" in told and "--overwrite" in told
    assert not Path("raw").exists()
    assert main(["run", recipe, "--overwrite"]) == 0
    assert json.loads(Path("aligned.ome.zarr/recipe.toml").read_text().partition("max_shift_px = ")[2].split()[0]) == 60


def test_a_project_may_be_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/w.toml").write_text(STEPS)
    assert main(["run", "here/w.toml"]) == 0
    (tmp_path / "here").rename(tmp_path / "there")
    capsys.readouterr()
    assert main(["run", "there/w.toml"]) == 0 and capsys.readouterr().out.count(": kept: ") == 3


def test_a_sweep_tells_and_draws_time_and_true_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write(STEPS + SWEEP), "--table", "t"]) == 0
    told = capsys.readouterr().out
    assert told == Path("t/table.md").read_text()
    with Path("t/table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["downscale", "seed", "time_s", "error", "accumulated_error", "state"]
    assert [(row["downscale"], row["seed"]) for row in rows] == [("2", "1"), ("2", "2"), ("1", "1"), ("1", "2")]
    errors = [float(row["error"]) for row in rows]
    assert errors[0] > errors[2] and errors[1] > errors[3]  # half the pixels tell less of where a section lies
    assert float(rows[-1]["accumulated_error"]) == pytest.approx(sum(errors), rel=1e-3)
    assert all(float(row["time_s"]) > 0 and row["state"] == "done" for row in rows)
    drawn = ElementTree.parse("t/plot.svg")
    words = {element.text for element in drawn.iter()}
    assert {"Run time", "Error", "Accumulated error", "seed = 2", "downscale", "median of measured.error_px"} <= words

    assert main(["run", "w.toml", "--table", "again"]) == 0  # nothing is computed, and the times are those of then
    assert Path("again/table.csv").read_bytes() == Path("t/table.csv").read_bytes()
    assert not (all_runs()[-1].path / "parts").exists()


def test_a_setting_that_fails_is_a_row_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    kept = '[[step]]\nstep = "measure_alignment"\narguments = { volume = "@copied", out = "pairs.csv" }\n'
    copied = '[[step]]\nname = "copied"\nstep = "convert"\narguments = { source = "@aligned", out = "copied" }\n'
    text = STEPS.partition('[[step]]\nname = "measured"')[0] + copied + kept + '[sweep]\ncopied.to = ["ome-zarr", "precomputed"]\n'
    assert main(["run", write(text)]) == 3
    told, refused = capsys.readouterr()
    first, second, _, why = told.splitlines()[2:]
    assert first.rstrip(" |").endswith("done") and second.rstrip(" |").endswith("failed")
    assert why.startswith("to=precomputed failed: measure_alignment: volume: ") and "is no volume" in why
    assert "1 of 6 parts failed" in refused and "measure_alignment (to=precomputed): volume: " in refused
    assert all_runs()[-1].state is State.FAILED and Path("pairs-to=ome-zarr.csv").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STEPS.replace('out = "raw"', 'out = "no/raw"'), "raw: out: the folder"),
        (STEPS.replace('"@raw", out = "aligned', '"nowhere", out = "aligned'), "aligned: source: "),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write(text)]) == 3
    assert said in capsys.readouterr().err and not Path("raw").exists() and not all_runs()


def test_an_error_that_is_no_number_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = STEPS.partition('[[step]]\nname = "measured"')[0] + '[sweep]\nraw.seed = [1, 2]\n[table]\nerror = "raw.size"\n'
    assert main(["run", write(text.partition('[[step]]\nname = "aligned"')[0] + text[text.index("[sweep]") :])]) == 3
    assert "raw.size is no number in what raw returned; there is size_px, affines, bad" in capsys.readouterr().err


def test_one_step_and_its_sweep_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write('step = "make_phantom"\n[arguments]\nout = "p"\nsections = 2\nsize_px = 64\n')
    assert main(["run", recipe]) == 0 and f"Written: {Path.cwd() / 'p'}" in capsys.readouterr().out
    assert main(["run", recipe]) == 0 and "There already" in capsys.readouterr().out
    assert main(["run", recipe, "--table", "t"]) == 3 and "sweeps nothing" in capsys.readouterr().err


def test_a_killed_workflow_is_resumed_and_ends_the_same() -> None:
    recipe = write(LONG.format("one") + LONG.format("two"))
    begun = emkit("run", recipe, "--detach")
    assert begun.returncode == 0 and "runs on by itself" in begun.stdout
    run = find_run("last")
    until(lambda: (Path("one").exists() and Path("unfinished-two").exists()) or run.state is State.FAILED, run.log.read_text)
    os.kill(int(run.said()["pid"]), signal.SIGKILL)
    until(lambda: run.state is State.INTERRUPTED)
    assert Path("one").exists() and not Path("two").exists()
    resumed = emkit("resume", run.id)
    assert resumed.returncode == 0 and "one: kept" in resumed.stdout and "two: done" in resumed.stdout, resumed.stderr
    assert digest(Path("one")) == digest(Path("two"))


@pytest.mark.parametrize("how", ["cancel", "ctrl-c"])
def test_a_workflow_is_ended_and_taken_up_by_the_same_words(how: str) -> None:
    recipe = write(LONG.format("one") + LONG.format("two"))
    running = subprocess.Popen([*EMKIT, "run", recipe], stderr=subprocess.PIPE, text=True)
    until(lambda: all_runs() and Path("unfinished-one").exists())
    if how == "cancel":
        assert emkit("cancel", "last").returncode == 0
    else:
        running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, told
    assert find_run("last").state is State.CANCELLED and not Path("two").exists()
    assert emkit("run", recipe).returncode == 0
    assert digest(Path("one")) == digest(Path("two"))
