"""The command line: what it takes, what it refuses and with which exit code, and that help stays light."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emkit import steps
from emkit.cli import build, main
from emkit.provenance import digest, seal_record

PHANTOM = ["make-phantom", "-o", "raw"]
ALIGN = ["align-sections", "raw", "-o", "a.ome.zarr", "--voxel-size-nm", "45", "4.6", "4.6"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    assert main(["make-phantom", "-o", str(folder / "raw"), "--sections", "4", "--size-px", "256"]) == 0
    return folder / "raw"


@pytest.fixture
def here(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").symlink_to(raw)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("align-sections raw -o a.ome.zarr --voxel-size-nm 45 4.6", 2, "--voxel-size-nm"),
        ("align-sections raw -o a.ome.zarr", 2, "--voxel-size-nm"),
        (
            "align-sections raw -o a.ome.zarr --voxl-size-nm 45 4.6 4.6 --voxel-size-nm 45 4.6 4.6",
            2,
            "Did you mean --voxel-size-nm",
        ),
        ("-v", 2, "'-v' is no option here"),
        ("run a.toml b.toml", 2, "'b.toml' is one word too many"),
        ("align-sectoins raw", 2, "Did you mean align-sections"),
        ("align-sections raw -o a.ome.zarr --voxel-size-nm 45 4.6 x", 3, "voxel_size_nm[2]: found 'x', needed a valid number"),
        (
            "align-sections raw -o a.ome.zarr --voxel-size-nm 45 -4.6e0 4.6",
            3,
            "voxel_size_nm[1]: found '-4.6e0', needed greater than 0 (nm)",
        ),
        ("align-sections nowhere -o a.ome.zarr --voxel-size-nm 45 4.6 4.6", 3, "source: nowhere does not exist"),
        ("align-sections -o no/a.ome.zarr --voxel-size-nm 45 4.6 4.6 -- raw", 3, "make it first"),
        ("align-sections raw -o raw/a.ome.zarr --voxel-size-nm 45 4.6 4.6", 3, "lies in the input"),
        ("rerun raw/x -o b", 3, "has no record"),
        ("run nowhere.toml", 3, "nowhere.toml"),
    ],
)
def test_exit_codes(here: Path, line: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == code
    told = capsys.readouterr().err
    assert said in told and told.startswith("emkit ") and "Traceback" not in told
    assert os.listdir() == ["raw"]


def test_a_path_with_a_leading_dash_and_spaces(here: Path) -> None:
    Path("-raw é x").symlink_to("raw")
    assert main(["align-sections", "--out=-a b.ome.zarr", "--voxel-size-nm", "45", "4.6", "4.6", "--", "-raw é x"]) == 0
    assert Path("-a b.ome.zarr/zarr.json").is_file()


def test_paths_that_go_up_and_through_a_link(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("below").mkdir()
    Path("link").symlink_to(Path("below").absolute())
    monkeypatch.chdir("below")
    assert main(["align-sections", "../raw", "-o", "../link/up.ome.zarr", *ALIGN[4:]]) == 0
    assert main(["rerun", "../below/up.ome.zarr", "-o", "../again.ome.zarr"]) == 0
    assert main(["convert", "../again.ome.zarr", "-o", "../link/../p", "--to", "precomputed"]) == 0
    assert main(["verify", "../p"]) == 0
    assert (here / "p/info").is_file() and (here / "below/up.ome.zarr/zarr.json").is_file()


def test_a_plan_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ALIGN, "--plan"]) == 0
    assert "memory" in capsys.readouterr().out and os.listdir() == ["raw"]


def test_an_output_that_exists_and_a_rerun(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ALIGN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(ALIGN) == 3 and "--overwrite" in capsys.readouterr().err
    assert main([*ALIGN, "--overwrite"]) == 0
    assert main(["rerun", "a.ome.zarr", "-o", "b.ome.zarr"]) == 0
    assert "the same bytes" in capsys.readouterr().out and digest(Path("a.ome.zarr")) == digest(Path("b.ome.zarr"))
    Path("a.ome.zarr/alignment.json").write_text("{}")
    assert main(["rerun", "a.ome.zarr", "-o", "c.ome.zarr"]) == 4
    assert "alignment.json" in capsys.readouterr().err and not Path("c.ome.zarr").exists()


def test_a_rerun_tells_what_differs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-phantom", "-o", "own", "--sections", "3", "--size-px", "256"]) == 0
    assert main(["align-sections", "own", "-o", "a.ome.zarr", "--voxel-size-nm", "45", "4.6", "4.6"]) == 0
    images = sorted(Path("own").glob("*.tif"))
    images[0].write_bytes(images[1].read_bytes())
    metadata = Path("a.ome.zarr/ro-crate-metadata.json")
    metadata.write_text(metadata.read_text().replace('"softwareVersion": "3.11', '"softwareVersion": "2.11'))
    seal_record(metadata.parent)
    assert main(["rerun", "a.ome.zarr", "-o", "b.ome.zarr"]) == 4
    told = capsys.readouterr().out
    assert "inputs: " in told and "versions: python: 2.11" in told and "result: 0/c/" in told


def test_a_recipe_with_a_sweep(here: Path) -> None:
    Path("r.toml").write_text('step = "make_phantom"\n[arguments]\nout = "p.x"\nsections = 2\n[sweep]\nsize_px = [128, 160]\n')
    assert main(["run", "r.toml"]) == 0
    assert sorted(os.listdir()) == ["p-size_px=128.x", "p-size_px=160.x", "r.toml", "raw"]


@pytest.mark.parametrize(
    "text", ["step = 3", 'step = "no"', "step = [", 'step = "convert"\nextra = 1', 'step = "convert"\n[sweep]\nto = "x"']
)
def test_a_recipe_that_is_none(here: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.toml").write_text(text)
    assert main(["run", "r.toml"]) == 3 and "Traceback" not in capsys.readouterr().err


def test_help_and_completion_know_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    _, commands = build(["*"])
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in commands) and set(commands) >= {name.replace("_", "-") for name in steps.STEPS}
    assert "--voxel-size-nm" in commands["align-sections"].format_help() and "[nm" in commands["align-sections"].format_help()
    with pytest.raises(SystemExit, match="0"):
        main(["--print-completion", "bash"])


def test_help_is_light() -> None:
    """Every import that a person would wait for stays out of `emkit --help`."""
    heavy = ["numpy", "zarr", "torch", "dask", "scipy", "tensorstore", "neuroglancer", "jupyter_server", "pydantic", "rocrate"]
    code = f"import sys; from emkit.cli import main; main(['-v']); main([]); print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.rstrip().endswith("\n[]"), told.stdout + told.stderr


def test_ctrl_c_ends_a_run(here: Path) -> None:
    argv = [
        sys.executable,
        "-c",
        "import sys; from emkit.cli import main; sys.exit(main())",
        "make-phantom",
        "-o",
        "big",
        "--sections",
        "400",
    ]
    run = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    while not Path("unfinished-big").exists():
        assert run.poll() is None
    run.send_signal(2)
    _, told = run.communicate(timeout=20)
    assert run.returncode == 130 and "cancelled" in told and not Path("big").exists()
