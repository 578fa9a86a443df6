"""Runs that are jobs of a real Slurm: queued, watched, cancelled, killed, gone on with; the same bytes as a run on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emkit.run.folder import RunFolder
from emkit.runs import find_run
from tests.slurm.cluster import Cluster
from tests.steps.test_training import NM, cells, folder

EMKIT = str(Path(sys.executable).with_name("emkit"))
ALIGN = ("align-sections", "raw", "--voxel-size-nm", "45", "4", "4", "-o")
PROFILES = """
slurm_conf = "{conf}"
[kernels.small]
title = "Small"
cpus = 2
memory_mb = 1500
runtime = "0:30:00"
[kernels.closed]
title = "In a partition that is closed"
partition = "closed"
memory_mb = 500
[kernels.nowhere]
title = "In a partition that is not there"
partition = "nowhere"
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sections, and the volume that a run on this machine makes of them."""
    folder = tmp_path_factory.mktemp("sections")
    environment = {**os.environ, "EMKIT_RUNS_DIR": str(folder / "runs")}
    for words in (("make-phantom", "-o", "raw", "--sections", "12", "--size-px", "256"), (*ALIGN, "local")):
        subprocess.run([EMKIT, *words], cwd=folder, env=environment, check=True, capture_output=True)
    return folder


class Site:
    """A folder with sections, runs of its own and profiles."""

    def __init__(self, cluster: Cluster, folder: Path, raw: Path) -> None:
        self.cluster, self.folder, self.raw = cluster, folder, raw
        (folder / "raw").symlink_to(raw / "raw")
        (folder / "kernels.toml").write_text(PROFILES.format(conf=cluster.environment["SLURM_CONF"]))
        own = {"EMKIT_RUNS_DIR": str(folder / "runs"), "EMKIT_PROFILES": str(folder / "kernels.toml")}
        self.environment = {**os.environ, **own}

    def emkit(self, *words: str, code: int = 0) -> str:
        """What a command says on both its streams."""
        done = subprocess.run([EMKIT, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def begin(self, out: str, place: str) -> RunFolder:
        self.emkit(*ALIGN, out, "--on", place, "--detach")
        return find_run("last")

    def same(self, out: str) -> bool:
        return (self.folder / out / "manifest.sha256").read_text() == (self.raw / "local/manifest.sha256").read_text()

    def scancel(self, job_id: str) -> None:
        self.cluster.run("scancel", job_id)


@pytest.fixture
def site(cluster: Cluster, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    return Site(cluster, tmp_path, raw)


def until(ready: Callable[[], object], what: str, patience_s: float = 60) -> None:
    last = time.monotonic() + patience_s
    while not ready():
        assert time.monotonic() < last, what
        time.sleep(0.05)


def has_begun(run: RunFolder, tasks: int = 1) -> bool:
    """Whether so many tasks of the run are done."""
    return run.journal.exists() and len(run.journal.read_text().splitlines()) > tasks


def test_a_job_that_waits_is_queued_and_can_be_taken_back(site: Site) -> None:
    run = site.begin("a", "slurm:closed")
    told = json.loads(site.emkit("runs", "--json"))[0]
    assert told["state"] == "queued" and "its partition is closed at the moment" in told["message"]
    assert "driven already" in site.emkit("resume", "last", code=3)
    site.emkit("cancel", run.id)
    assert run.state == "cancelled" and site.cluster.run("squeue", "--noheader", "--name", f"emkit-run-{run.id}") == ""
    assert "resume" in site.emkit("watch", "last", code=130)
    site.emkit("resume", "last", "--on", "local")
    assert site.same("a")


def test_a_job_that_is_refused_says_so(site: Site) -> None:
    assert "Slurm refuses the job of this run: sbatch:" in site.emkit(*ALIGN, "a", "--on", "slurm:nowhere", code=3)
    assert "this site offers small, closed, nowhere" in site.emkit(*ALIGN, "a", "--on", "slurm:none", code=3)


def test_a_job_that_is_ended_from_outside_is_interrupted_and_goes_on(site: Site) -> None:
    run = site.begin("a", "slurm:small")
    until(lambda: has_begun(run), "tasks are done")
    assert "driven already" in site.emkit("resume", run.id, code=3)
    site.scancel(run.facts()["job"]["id"])
    assert "interrupted" in site.emkit("watch", run.id, code=3)
    done = len(run.journal.read_text().splitlines())
    site.emkit("resume", run.id, "--detach")
    assert "Written" in site.emkit("watch", run.id) and site.same("a")
    assert done > 1 and run.facts()["place"] == "slurm:small"


@pytest.mark.campaign
@pytest.mark.parametrize(("number", "said"), [("KILL", "its job"), ("TERM", "its job was told to end: by its time limit")])
def test_a_driver_that_is_killed_or_told_of_its_time_limit(site: Site, number: str, said: str) -> None:
    run = site.begin("a", "slurm:small")
    until(lambda: has_begun(run), "tasks are done")
    site.cluster.run("scancel", f"--signal={number}", "--batch", run.facts()["job"]["id"])
    until(lambda: run.state == "interrupted", "the run is known to be over")
    assert said in run.said()["message"]
    site.emkit("resume", run.id)
    assert site.same("a")


def test_cancel_reaches_a_job_at_work(site: Site) -> None:
    run = site.begin("a", "slurm:small")
    until(lambda: has_begun(run), "tasks are done")
    site.emkit("cancel", run.id)
    site.emkit("watch", run.id, code=130)
    job = run.facts()["job"]["id"]
    until(
        lambda: "COMPLETING" not in (left := site.cluster.run("squeue", "--noheader", "-o%T", "-j", job)) and not left,
        "its job ends",
    )


def test_what_is_detached_in_a_job_is_a_job_of_its_own(site: Site) -> None:
    (site.folder / "server").write_text(
        f"#!/bin/bash\n{EMKIT} {' '.join(ALIGN)} a --detach --plan; {EMKIT} {' '.join(ALIGN)} a --detach\n"
    )
    ours = site.cluster.run(
        "sbatch", "--parsable", f"--chdir={site.folder}", "--output=said", "--cpus-per-task=2", "--mem=2000",
        f"--export=PATH,EMKIT_RUNS_DIR={site.folder / 'runs'}", str(site.folder / "server"),
    ).strip()  # fmt: skip
    until(lambda: "runs on by itself" in ((said := site.folder / "said").exists() and said.read_text() or ""), "it is detached")
    assert "on slurm (a job of its own, like this one): 2 tasks at once" in (site.folder / "said").read_text()
    run = find_run("last")
    site.emkit("watch", run.id)
    assert site.same("a") and run.facts()["job"]["id"] != ours
    assert run.facts()["offer"]["resources"]["partition"] == "main" and run.facts()["offer"]["resources"]["memory_mb"] < 2000


@pytest.mark.campaign
def test_worker_jobs_that_are_lost_are_replaced(site: Site) -> None:
    run = site.begin("a", "slurm:small:2")
    until(lambda: has_begun(run), "tasks are done")
    lost = site.cluster.run("squeue", "--noheader", "-o%i", f"--name=emkit-workers-{run.id}").split()
    site.cluster.run("scancel", "--signal=KILL", "--full", lost[0])
    site.emkit("watch", run.id)
    assert site.same("a")
    until(lambda: not site.cluster.run("squeue", "--noheader", f"--name=emkit-workers-{run.id}"), "no worker is left")


@pytest.mark.campaign
def test_processes_that_learn_together_on_several_nodes(site: Site) -> None:
    """Undisturbed, and with one of their jobs killed after the first part: the same model."""
    gray, walls = cells()
    images, labels = folder(site.folder / "images", gray), folder(site.folder / "labels", walls[:5].astype("uint8"))
    train = ["train-membranes", "--images", str(images), "--labels", str(labels), "--label-kind", "membrane", "--voxel-size-nm"]
    train += [*map(str, NM), "--steps", "50", "--width", "4", "--patch-px", "32", "--batch", "2", "--processes", "2"]
    assert "needs 3 tasks at the same time; a job of its own" in site.emkit(
        *train[:-1], "3", "--batch", "3", "-o", "a", "--on", "slurm:small", code=3
    )
    site.emkit(*train, "-o", "a", "--on", "slurm:small:2")
    site.emkit(*train, "-o", "b", "--on", "slurm:small:2", "--detach")
    run = find_run("last")
    until(lambda: has_begun(run, 2), "the first part is done", 600)
    lost = site.cluster.run("squeue", "--noheader", "-o%i", f"--name=emkit-workers-{run.id}").split()
    assert len(lost) == 2
    site.cluster.run("scancel", "--signal=KILL", "--full", lost[0])
    site.emkit("watch", run.id)
    for name in ("weights.safetensors", "model.json"):
        assert (site.folder / "a" / name).read_bytes() == (site.folder / "b" / name).read_bytes()
