"""Where tasks are done: the same bytes everywhere, workers that are killed, cancelled tasks that end, and places that are refused.

A real dask scheduler with workers in processes of their own.
"""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from distributed import LocalCluster
from emkit_jobs.offered import VARIABLE, Offer, OfferError, offers
from emkit_jobs.profiles import Resources

import emkit
from emkit.errors import ParameterError, ResourceError
from emkit.progress import Cancelled, listening
from emkit.run.cluster import Dask
from emkit.run.drive import execute
from emkit.run.executor import TRIES, WorkerDied, outcomes
from emkit.run.folder import RunFolder
from emkit.run.machine import _left_in_groups, cores, memory_left
from emkit.run.place import Place
from emkit.run.plan import Load, Plan, gate
from emkit.run.room import placed, room
from emkit.run.step import bind
from emkit.run.together import outcomes_together
from emkit.run.worker import Done
from tests.run.test_pool import gone, square, tried, wait_for_ever
from tests.run.test_together import TWO, meet

KERNELS = """
slurm_conf = "/etc/slurm/other.conf"
[kernels.small]
title = "Small"
cpus = 2
memory_mb = 2000
runtime = "1:00:00"
python = "/usr/bin/python3"
[kernels.big]
title = "Big"
cpus = 16
memory_mb = 64000
[kernels.here]
title = "No job of Slurm's"
gpus = 1
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (file := tmp_path / "kernels.toml").write_text(KERNELS)
    monkeypatch.setenv(VARIABLE, str(file))
    return file


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    emkit.make_phantom(out=Path("raw"), sections=6, size_px=128)
    return Path("raw")


def kill_the_dask_worker(folder: Path, key: str, tries: int) -> str:
    """It is the parent of the nursery, which is the parent of the process that does this."""
    if tried(folder, key) <= tries:
        nursery = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
        os.kill(int(nursery[1]), signal.SIGKILL)
        signal.pause()
    return key


def where() -> str:
    return os.getcwd()


def wait_on_dask(folder: Path) -> None:
    wait_for_ever(folder)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("local", Place()), ("local:3", Place("local", count=3)), ("serial", Place("serial")), ("slurm", Place("slurm")),
        ("slurm:gpu-2", Place("slurm", "gpu-2")), ("slurm:big:4", Place("slurm", "big", 4)),
        ("dask:tls://head.example:8786", Place("dask", "tls://head.example:8786")), ("tcp://[::1]:1", Place("dask", "tcp://[::1]:1")),
    ],
)  # fmt: skip
def test_a_place_is_read_and_written(text: str, place: Place) -> None:
    assert Place.parse(text) == place == Place.parse(str(place))


@pytest.mark.parametrize(
    "text",
    ["", "here", "local:", "local:0", "local:-1", "local:x", "serial:1", "slurm:", "slurm:a:b", "slurm:a:1:2", "slurm:../x",
     "dask", "dask:head", "dask:head:8786", "tcp://head", "tcp://head:x", "tcp://head:1/x", "Local", "local "],
)  # fmt: skip
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="on: found .*, needed one of local, local:N, serial, slurm:PROFILE"):
        Place.parse(text)


def test_profiles_are_those_of_the_kernels(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = offers()
    assert list(found) == ["small", "big", "here"] and found["small"].slurm_conf == "/etc/slurm/other.conf"
    assert found["small"].resources == Resources(cpus=2, memory_mb=2000, runtime=timedelta(hours=1))
    assert type(found["small"]).of_facts(found["small"].facts()) == found["small"]
    profiles.write_text("[kernels.a]\ncpus = 0")
    with pytest.raises(OfferError, match=r"kernels.a.*cpus: Input should be greater than 0"):
        offers()
    from emkit_spawner.kernels import install
    from emkit_spawner.kernels.settings import KernelSettings

    profiles.write_text(KERNELS)
    install.install(KernelSettings.read(profiles), profiles.parent / "prefix")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("JUPYTER_PATH", str(profiles.parent / "prefix/share/jupyter"))
    assert {name: offers()[name] for name in found} == found


def test_what_cannot_fit_is_refused_with_the_nearest_that_can(profiles: Path) -> None:
    plan = Plan(100_000_000, stages=(Load(tasks=40, task_bytes=3_000_000_000, task_s=10.0),))
    small, big = (placed(plan, Place("slurm", name)) for name in ("small", "big"))
    with pytest.raises(
        ResourceError, match=r"needs 3,100 MB of memory, with one task at a time; a job of its own.* --on slurm:big"
    ):
        gate(small.plan, None)
    assert big.plan.workers == 16 and not big.plan.lacking and "16 tasks at once; each needs 3,000 MB" in big.plan.where
    many = placed(plan, Place("slurm", "big", 3))
    assert many.plan.workers == 48 and many.plan.memory_bytes == plan.memory_bytes and "a worker has 4,1" in many.plan.where
    assert placed(Plan(10**9, seconds=7200.0), Place("slurm", "small")).plan.where.endswith(
        "then interrupted: emkit resume goes on"
    )
    with pytest.raises(ParameterError, match="no profile 'huge'; this site offers small, big, here"):
        placed(plan, Place("slurm", "huge"))
    with pytest.raises(ParameterError, match="this is in none"):
        placed(plan, Place("slurm"))


def test_cores_and_memory_are_those_of_the_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1000")
    assert cores() == 1 and memory_left() < 1000 * 2**20
    second, first = tmp_path / "job/step", tmp_path / "memory/job"
    second.mkdir(parents=True)
    first.mkdir(parents=True)
    (second / "memory.max").write_text("max\n")
    for folder, limit, used, cached in (
        (second.parent, "memory.max", "memory.current", "inactive_file 600\n"),
        (first, "memory.limit_in_bytes", "memory.usage_in_bytes", "inactive_file 0\ntotal_inactive_file 600\n"),
    ):
        (folder / limit).write_text("5000\n")
        (folder / used).write_text("1000\n")
        (folder / "memory.stat").write_text(f"active_file 70\n{cached}")  # a job that has read a file is not full of it
    assert (
        list(_left_in_groups(tmp_path, "0::/job/step\n"))
        == [4600]
        == list(_left_in_groups(tmp_path, "7:cpu,memory:/job\n1:cpu:/x\n"))
    )


def test_what_workers_are_forked_from_takes_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4000")
    here, alone = (room(Place.parse(text)).memory_bytes for text in ("local", "serial"))
    assert here is not None and alone is not None and 50 * 2**20 < alone - here < 250 * 2**20
    half = Plan(0, stages=(Load(tasks=9, task_bytes=alone // 2),))
    assert placed(half, Place("local", count=2)).plan.workers == 1
    small, tasks = Offer(Resources(cpus=2, memory_mb=600)), Plan(0, stages=(Load(tasks=9, task_bytes=200_000_000),))
    assert placed(tasks, Place("slurm"), small, driver=True).plan.workers == 1


def test_the_same_bytes_everywhere(raw: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    digests = {}
    for number, on in enumerate(("serial", "local", "local:1", "local:3", cluster.scheduler_address)):
        call = bind(emkit.align_sections, raw, out=Path(f"a{number}"), voxel_size_nm=(45.0, 4.0, 4.0))
        execute(call, on=Place.parse(on))
        digests[on] = Path(f"a{number}/manifest.sha256").read_text()
    assert len(set(digests.values())) == 1
    told = [RunFolder(path).facts() for path in sorted((tmp_path / "runs").iterdir())]
    assert [one["place"] for one in told] == ["serial", "local", "local:1", "local:3", f"dask:{cluster.scheduler_address}"]
    assert [one["workers"] for one in told[2:]] == [1, 3, 2] and told[2]["threads"] == cores()


def test_tasks_stand_where_the_driver_stands(cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Dask(cluster.scheduler_address) as hands:
        (found,) = outcomes(hands, where, {"a": ()})
        many = list(outcomes(hands, square, {str(k): (k,) for k in range(300)}))
    assert isinstance(found, Done) and found.result == str(tmp_path)
    assert {one.key: one.result for one in many if isinstance(one, Done)} == {str(k): k * k for k in range(300)}


@pytest.mark.parametrize("tries", [1, pytest.param(TRIES, marks=pytest.mark.campaign)])
def test_a_lost_dask_worker_costs_its_task_one_try(cluster: LocalCluster, tmp_path: Path, tries: int) -> None:
    tasks = {key: (tmp_path, key, tries if key == "b" else 0) for key in "abc"}
    with Dask(cluster.scheduler_address) as hands:  # its nannies replace the workers
        found = {one.key: one for one in outcomes(hands, kill_the_dask_worker, tasks)}
    assert isinstance(found["a"], Done) and isinstance(found["c"], Done)
    assert isinstance(tried_thrice := found["b"], Done) or isinstance(tried_thrice.error, WorkerDied)
    assert isinstance(found["b"], Done) == (tries < TRIES) and len(list(tmp_path.glob("b-*"))) == min(tries + 1, TRIES)


def test_tasks_that_wait_for_each_other_are_begun_again_together(cluster: LocalCluster, tmp_path: Path) -> None:
    with Dask(cluster.scheduler_address) as hands:
        found = list(outcomes_together(hands, meet, {key: (tmp_path, key, 1) for key in TWO}))
        assert {one.key for one in found if isinstance(one, Done)} == set(TWO) and len(list(tmp_path.iterdir())) == 4
        with pytest.raises(ResourceError, match="3 tasks must run at the same time, but within 0:00:00 there was room for 2"):
            list(outcomes_together(hands, meet, {key: (tmp_path, key, 0) for key in "012"}, patience_s=0))
    with pytest.raises(ResourceError, match="needs 3 tasks at the same time; the dask scheduler at .* does 2 at once"):
        gate(placed(Plan(1, stages=(Load(3, together=True),)), Place("dask", cluster.scheduler_address)).plan, None)


def test_cancel_ends_tasks_on_dask_workers(cluster: LocalCluster, tmp_path: Path) -> None:
    with (
        listening(stop=lambda: len(os.listdir(tmp_path)) == 2),
        pytest.raises(Cancelled, match="with 3 tasks to do"),
        Dask(cluster.scheduler_address) as hands,
    ):
        list(outcomes(hands, wait_on_dask, {key: (tmp_path,) for key in "abc"}))
    assert all(gone(int(name)) for name in os.listdir(tmp_path))


def test_tasks_end_with_a_client_that_is_gone(cluster: LocalCluster, tmp_path: Path) -> None:
    hands = Dask(cluster.scheduler_address).__enter__()
    hands.begin(wait_on_dask, {"a": (tmp_path,)})
    while not os.listdir(tmp_path):
        time.sleep(0.01)
    hands.client.close()
    assert all(gone(int(name)) for name in os.listdir(tmp_path))


def test_a_scheduler_without_workers_or_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        place = Place("dask", empty.scheduler_address)
        with pytest.raises(ResourceError, match="has no workers now"):
            placed(Plan(1), place)
    monkeypatch.setattr("emkit.run.cluster.CONNECT_S", 0.2)
    with pytest.raises(ResourceError, match="no dask scheduler answers at tcp://"):
        placed(Plan(1), place)
