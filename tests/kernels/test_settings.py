"""A site's file of kernels: what it may say, what is refused with which words, and what is written from it."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from emkit_jobs.profiles import Resources
from emkit_spawner.kernels.__main__ import main
from emkit_spawner.kernels.settings import KernelSettings, KernelSettingsError

SITE = """
scheduler = "slurm"
grace_s = 30
[kernels.gpu]
title = "Python, 1 GPU"
partition = "gpu"
gpus = 1
memory_mb = 16000
runtime = "4:00:00"
python = "/shared/bin/python"
prologue = "module load cuda"
environment = { OMP_NUM_THREADS = "4" }
[kernels.xeus]
title = "C++"
command = ["/shared/bin/xcpp", "-f", "{connection_file}"]
language = "c++"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path / "site.toml"


def test_a_kernelspec_says_all_that_a_program_without_our_settings_needs(site: Path) -> None:
    spec = KernelSettings.read(site).specs()["emkit-gpu"]
    assert spec["argv"] == ["/shared/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert (spec["display_name"], spec["interrupt_mode"], spec["env"]) == ("Python, 1 GPU", "message", {"OMP_NUM_THREADS": "4"})
    given = spec["metadata"]["kernel_provisioner"]["config"]
    assert given["resources"] == {"memory_mb": 16000, "runtime": "4:00:00", "gpus": 1, "partition": "gpu"}
    assert Resources.model_validate(given["resources"]).runtime == timedelta(hours=4)
    assert (given["prologue"], given["grace_s"], given["python"]) == ("module load cuda", 30, "/shared/bin/python")
    assert KernelSettings.read(site).specs()["emkit-xeus"]["argv"][0] == "/shared/bin/xcpp"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kernels = 3", "key kernels"),
        ("[kernels]", "key kernels: Dictionary should have at least 1 item"),
        ("[kernels.a]\ncpus = 1", "key kernels.a.title: Field required"),
        ("[kernels.a]\ntitle = 'A'\ncpu = 1", "key kernels.a.cpu: Extra inputs are not permitted"),
        ("[kernels.a]\ntitle = 'A'\npartition = 'a b'", "key kernels.a.partition"),
        ("[kernels.'../a']\ntitle = 'A'", "'../a' cannot name a kernel"),
        ("[kernels.a]\ntitle = 'A'\ncommand = ['ir']", "has no {connection_file}"),
        ("scheduler = 'cron'\n[kernels.a]\ntitle = 'A'", "key scheduler"),
        ("[kernels", "A TOML file was needed"),
    ],
)
def test_what_a_site_may_not_say_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(KernelSettingsError) as refused:
        KernelSettings.read(tmp_path / "site.toml")
    assert said in str(refused.value) and str(tmp_path / "site.toml") in str(refused.value)


def test_installing_again_takes_away_what_is_offered_no_more(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernels = tmp_path / "prefix/share/jupyter/kernels"
    other = kernels / "emkit-theirs"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": []}')
    assert main(["install", str(site), f"--prefix={tmp_path / 'prefix'}"]) is None
    assert capsys.readouterr().out.split() == [str(kernels / "emkit-gpu"), str(kernels / "emkit-xeus")]
    site.write_text("[kernels.cpu]\ntitle = 'CPU'\n")
    assert main(["install", str(site), f"--prefix={tmp_path / 'prefix'}"]) is None
    assert {path.name for path in kernels.iterdir()} == {"emkit-theirs", "emkit-cpu"}
    loaded = json.loads((tmp_path / "prefix/etc/jupyter/jupyter_server_config.d/emkit-kernels.json").read_text())
    assert loaded == {"ServerApp": {"jpserver_extensions": {"emkit_spawner.kernels": True}}}


def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emkit_spawner.kernels", "install", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "none.toml cannot be read" in done.stderr and "Traceback" not in done.stderr
