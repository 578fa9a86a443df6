"""Kernels as jobs of a real Slurm, from a light server: through their life, and through the loss of the server or of the job."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emkit_spawner.kernels.launcher import read
from emkit_spawner.kernels.record import Record

from tests.kernels.light_server import PATIENCE_S, LightServer, install, until
from tests.slurm.cluster import Cluster

KERNELS = """
scheduler = "slurm"
slurm_conf = "{conf}"
folder = "{folder}"
[kernels.small]
title = "Small"
memory_mb = 300
[kernels.closed]
title = "Closed"
partition = "closed"
[kernels.nowhere]
title = "Nowhere"
partition = "nowhere"
"""
# Slurm's own sbatch, after which the server may be killed before it has read the answer
SBATCH = """#!/bin/bash
told=$({real} "$@"); code=$?
[[ ! -e {flag} ]] || kill -KILL $PPID
echo "$told"; exit $code
"""


@pytest.fixture(scope="module")
def home(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def server(home: Path, cluster: Cluster) -> Iterator[LightServer]:
    settings = KERNELS.format(conf=cluster.environment["SLURM_CONF"], folder=home / "kernels")
    (home / "bin").mkdir()
    (home / "bin/sbatch").write_text(SBATCH.format(real=shutil.which("sbatch"), flag=home / "kill"))
    (home / "bin/sbatch").chmod(0o755)
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    found = LightServer(home, {**install(settings, home), "PATH": path, "EMKIT_TEST_SECRET": "a token"})
    found.start()
    yield found
    found.stop()
    until(lambda: not jobs(cluster), "no job left")
    assert jobs(cluster) == {}
    assert not [one for one in (home / "kernels").iterdir() if (one / "record.json").exists()]


def jobs(cluster: Cluster) -> dict[str, str]:
    """Number → state of the kernels' jobs that have not ended."""
    told = cluster.run("squeue", "--noheader", "--format=%i|%T|%j").splitlines()
    return {number: state for number, state, name in (line.split("|") for line in told) if name.startswith("emkit-kernel-")}


@pytest.fixture
def notebook(server: LightServer, cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """Open a notebook with the kernel of this name; afterwards it is shut down, and has left no job."""
    opened: list[str] = []

    def open_notebook(kernel: str) -> str:
        session = server.open_notebook(f"emkit-{kernel}", f"{len(opened)}.ipynb")
        opened.append(session["id"])
        return str(session["kernel"]["id"])

    yield open_notebook
    for session in opened:
        server.call("DELETE", f"api/sessions/{session}")
    until(lambda: not jobs(cluster), "no job left")


def test_a_kernel_is_a_job_from_start_to_shutdown(server: LightServer, cluster: Cluster, notebook: Callable[[str], str]) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job, environment = channels.run("import os; print(os.environ['SLURM_JOB_ID'], sorted(os.environ))").split(" ", 1)
        assert jobs(cluster) == {job: "RUNNING"}
        assert "Requeue=0" in cluster.run("scontrol", "show", "job", job)  # it would begin anew with empty memory, silently
        assert "EMKIT_TEST_SECRET" not in environment and "JPY_SESSION_NAME" in environment
        running = channels.send("execute_request", {"code": "x = 1\nimport time\nwhile True: time.sleep(0.01)", "silent": False})
        until(lambda: server.kernel(kernel)["execution_state"] == "busy", "the loop runs")
        assert server.call("POST", f"api/kernels/{kernel}/interrupt").status_code == 204
        while (message := channels.receive())["header"]["msg_type"] != "execute_reply":
            pass
        assert message["parent_header"]["msg_id"] == running and message["content"]["ename"] == "KeyboardInterrupt"
        assert server.call("POST", f"api/kernels/{kernel}/restart").status_code == 200
    with server.channels(kernel) as channels:
        assert channels.run("import os; print(os.environ['SLURM_JOB_ID'], 'x' in globals())") == f"{job} False\n"
    assert server.call("DELETE", f"api/kernels/{kernel}").status_code == 204
    until(lambda: not jobs(cluster), "its job is gone")
    assert server.told(kernel) == {}


def test_a_server_killed_while_it_computes_finds_its_kernel_again(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job = channels.run("import os, time; print(os.environ['SLURM_JOB_ID']); x = 0").strip()
        channels.send("execute_request", {"code": "while x < 10**6: x += 1; time.sleep(0.01)", "silent": False})
        until(lambda: server.kernel(kernel)["execution_state"] == "busy", "the loop runs")
    session = server.call("GET", "api/sessions").json()
    server.stop(signal.SIGKILL)
    server.start()
    assert [one["id"] for one in server.call("GET", "api/sessions").json()] == [one["id"] for one in session]
    with server.channels(kernel) as channels:
        until(lambda: server.kernel(kernel)["execution_state"] == "busy", "the loop goes on")
        assert server.call("POST", f"api/kernels/{kernel}/interrupt").status_code == 204
        until(lambda: server.kernel(kernel)["execution_state"] == "idle", "the loop has ended")
        assert int(channels.run("print(x)")) > 0
    assert jobs(cluster) == {job: "RUNNING"}


def test_a_kernel_that_waits_says_why_and_can_be_deleted(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("closed")
    told = until(lambda: server.told(kernel), "it says why")
    assert told["state"] == "queued" and told["text"].startswith(f"Queued as job {told['job_id']}: ")
    assert (told["display_name"], told["document"]) == ("Closed", "0.ipynb")
    assert server.kernel(kernel)["reason"] == told["text"]
    assert jobs(cluster) == {told["job_id"]: "PENDING"}
    assert server.call("DELETE", f"api/kernels/{kernel}").status_code == 204
    until(lambda: not jobs(cluster), "its job is cancelled")
    until(lambda: not server.told(kernel), "nothing is left to say")


def test_a_kernel_that_waited_starts_by_itself_also_for_a_new_server(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("closed")
    job = until(lambda: server.told(kernel), "it says why")["job_id"]
    server.stop(signal.SIGKILL)
    server.start()
    assert until(lambda: server.told(kernel), "it says why again")["job_id"] == job
    cluster.run("scontrol", "update", f"JobId={job}", "Partition=main")
    with server.channels(kernel) as channels:
        assert channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip() == job
    assert server.told(kernel) == {}


def test_a_server_killed_between_sbatch_and_its_record_finds_the_job_by_its_name(
    server: LightServer, cluster: Cluster, home: Path, notebook: Callable[[str], str]
) -> None:
    (home / "kill").touch()
    kernel = notebook("small")
    assert server.process is not None
    server.process.wait(PATIENCE_S)
    (home / "kill").unlink()
    record = Record.read(home / "kernels" / kernel)
    assert record is not None and record.job_id == ""
    (job,) = jobs(cluster)
    server.start()
    with server.channels(kernel) as channels:
        assert channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip() == job


@pytest.mark.parametrize(
    ("end", "why"), [("scancel", "cancelled"), pytest.param("scancel --signal=KILL", "cancelled", marks=pytest.mark.campaign)]
)
def test_a_job_that_is_ended_is_told_and_never_replaced(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str], end: str, why: str
) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job = channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip()
    cluster.run(*end.split(), job)
    told = until(lambda: server.told(kernel), "its death is told")
    assert told["state"] == "dead" and f"Job {job}: finished, {why}" in told["text"]
    until(lambda: not server.kernel(kernel), "the server has dropped it")
    assert jobs(cluster) == {}
    assert server.call("DELETE", f"emkit/kernels/{kernel}").status_code == 204
    assert server.told(kernel) == {}


def test_a_kernel_that_crashes_starts_again_in_its_job(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job, pid = channels.run("import os, signal; print(os.environ['SLURM_JOB_ID'], os.getpid())").split()
        channels.send(
            "execute_request", {"code": "import time; time.sleep(2); os.kill(os.getpid(), signal.SIGSEGV)", "silent": False}
        )
    until(lambda: read(server.home / "kernels" / kernel / "status.json").get("start") == 2, "it has started again")
    with server.channels(kernel) as channels:
        assert channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip() == job
        assert channels.run("print(os.getpid())").strip() != pid


def test_a_refused_job_is_told_in_slurms_words(server: LightServer, cluster: Cluster, notebook: Callable[[str], str]) -> None:
    kernel = notebook("nowhere")
    told = until(lambda: server.told(kernel), "it says why")
    assert told["state"] == "dead" and "invalid partition specified: nowhere" in told["text"]


def test_without_slurm_a_kernel_goes_on_and_its_job_ends_when_slurm_is_back(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job = channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip()
        cluster.end("slurmctld", signal.SIGTERM)
        try:
            assert server.call("POST", f"api/kernels/{kernel}/restart").status_code == 200
            with server.channels(kernel) as again:  # as JupyterLab does after a restart
                assert again.run("print('still here')") == "still here\n"
            assert server.call("DELETE", f"api/kernels/{kernel}").status_code == 204
        finally:
            cluster.start_controller()
    until(lambda: job not in jobs(cluster), "the job is gone")


@pytest.mark.campaign
def test_a_page_may_wait_longer_than_any_time_out_of_jupyters(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("closed")
    job = until(lambda: server.told(kernel), "it says why")["job_id"]
    release = threading.Timer(150, lambda: cluster.run("scontrol", "update", f"JobId={job}", "Partition=main"))
    release.start()
    with server.channels(kernel) as channels:  # opens when the kernel is there
        assert channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip() == job
    release.join()


@pytest.mark.campaign
def test_a_kernel_at_its_time_limit_is_dead_with_the_reason(
    server: LightServer, cluster: Cluster, notebook: Callable[[str], str]
) -> None:
    kernel = notebook("small")
    with server.channels(kernel) as channels:
        job = channels.run("import os; print(os.environ['SLURM_JOB_ID'])").strip()
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    told = until(lambda: server.told(kernel), "its death is told", patience_s=180)
    assert told["state"] == "dead" and "time limit" in told["text"] and jobs(cluster) == {}
