"""Kernels as jobs for programs without a server: nbclient, and with it papermill. On this machine's own scheduler."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from emkit_jobs import processes
from emkit_jobs.local import LocalScheduler
from emkit_jobs.scheduler import State

from tests.kernels.light_server import install, until

KERNELS = """
scheduler = "local"
folder = "{folder}"
[kernels.small]
title = "Small"
cpus = 1
environment = {{ GREETING = "hello" }}
prologue = "export GREETED=$GREETING"
[kernels.broken]
title = "Broken"
prologue = "echo no licence left >&2; exit 9"
[kernels.gpu]
title = "GPU"
gpus = 1
"""
RUN = "import sys, nbclient, nbformat; nb = nbformat.read(sys.argv[1], 4); nbclient.execute(nb); nbformat.write(nb, sys.argv[1])"
START_AND_DIE = """
import os, signal, sys
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name=sys.argv[1])
manager.start_kernel()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return install(KERNELS.format(folder=tmp_path / "kernels"), tmp_path)


def run(environment: dict[str, str], notebook: Path, kernel: str, *cells: str) -> subprocess.CompletedProcess[str]:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(made, notebook)
    return subprocess.run([sys.executable, "-c", RUN, str(notebook)], env=environment, capture_output=True, text=True)


async def test_a_notebook_runs_without_a_server_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    cells = ("import os; print(os.environ['GREETED'], len(os.sched_getaffinity(0)))", "print(os.environ['EMKIT_JOB'], os.getpid())")
    done = run({**environment, "EMKIT_TEST_TOKEN": "secret"}, tmp_path / "a.ipynb", "emkit-small", *cells)
    assert done.returncode == 0, done.stderr
    greeting, told = (cell.outputs[0].text.strip() for cell in nbformat.read(tmp_path / "a.ipynb", 4).cells)
    assert greeting == "hello 1"
    job, pid = told.split()
    assert not Path(f"/proc/{pid}").exists() and not processes.carrying(job)
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["jobs"]


@pytest.mark.parametrize(("kernel", "said"), [("broken", "no licence left"), ("gpu", "the local scheduler has none")])
def test_a_kernel_that_cannot_start_says_why(environment: dict[str, str], tmp_path: Path, kernel: str, said: str) -> None:
    done = run(environment, tmp_path / "a.ipynb", f"emkit-{kernel}", "1")
    assert done.returncode == 1 and said in done.stderr


async def test_the_job_of_a_program_that_was_killed_is_ended_by_the_next(environment: dict[str, str], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", START_AND_DIE, "emkit-small"], env=environment, capture_output=True)
    jobs = LocalScheduler(tmp_path / "kernels/jobs")
    ((name, orphan),) = (await jobs.find("emkit-kernel-")).items()
    assert (await jobs.query_many([orphan]))[orphan].state is State.RUNNING
    assert run(environment, tmp_path / "a.ipynb", "emkit-small", "1").returncode == 0
    until(lambda: not processes.carrying(name), "the orphan is gone")
    assert (await jobs.query_many([orphan]))[orphan].state is State.FINISHED


def test_a_kernel_whose_folder_cannot_be_written_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "kernels").write_text("a file where the folder should be")
    done = run(environment, tmp_path / "a.ipynb", "emkit-small", "1")
    assert done.returncode == 1 and "cannot be written" in done.stderr and os.fspath(tmp_path / "kernels") in done.stderr
