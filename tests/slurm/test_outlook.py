"""What Slurm tells people: what is free, why a job waits, when one would start, and what it has used; also when Slurm is silent."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job, State
from emkit_jobs.slurm import Slurm, SlurmScheduler
from emkit_jobs.slurm.cluster import TESTS_AT_ONCE

from tests.slurm.cluster import GPU_FILES, NODES, Cluster

CORES = 4  # of each node
EVERYTHING = ("cpus", "memory_mb", "runtime", "gpus")


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[SlurmScheduler]:
    made = SlurmScheduler(Slurm(cluster.environment, tick_s=0.1, outlook_s=0.1))
    yield made
    for job_id in (await made.find("test-")).values():
        await made.cancel(job_id)


@pytest.fixture(scope="module")
def busy(cluster: Cluster) -> Iterator[str]:
    """All cores but one of each node are taken for 50 minutes, and a job that needs all of every node waits: its id."""

    def submit(*options: str) -> str:
        return cluster.run("sbatch", "--parsable", *options, "--output=/dev/null", "--wrap=exec sleep 3000").strip()

    taken = [submit(f"--cpus-per-task={CORES - 1}", "--mem=1000", "--time=50", f"--nodelist={node}") for node in NODES]
    cluster.until(lambda: cluster.run("squeue", "--noheader", "--states=R").count("\n") == len(NODES), "the nodes are taken")
    every = (f"--nodes={len(NODES)}", "--ntasks-per-node=1", f"--cpus-per-task={CORES}")
    next_one = submit(*every, "--time=20")
    cluster.until(lambda: "em" in cluster.run("squeue", "--noheader", "--format=%Y", f"--jobs={next_one}"), "its nodes are planned")
    yield next_one
    cluster.run("scancel", *taken, next_one)
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


def job(script: str, folder: Path, resources: Resources, name: str = "a") -> Job:
    return Job(f"test-{name}", f"#!/bin/bash\n{script}\n", folder, {"PATH": os.defpath}, resources)


async def until(ready: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(120):
        while not await ready():
            await asyncio.sleep(0.05)


async def runs(scheduler: SlurmScheduler, job_id: str) -> None:
    async def there() -> bool:
        return (await scheduler.query_many([job_id]))[job_id].state is State.RUNNING

    await until(there)


async def test_an_idle_cluster_is_free_and_starts_anything_at_once(scheduler: SlurmScheduler) -> None:
    free = await scheduler.free()
    main, closed = free["main"], free["closed"]
    assert (main.nodes, main.nodes_up, main.cpus, main.cpus_up, main.memory_mb) == (3, 3, 12, 12, 6000)
    assert (main.gpus, main.gpus_up, main.default, main.runtime_s) == (2, len(GPU_FILES), True, 600.0)
    assert (closed.nodes_up, closed.cpus_up, closed.default) == (0, 0, False)
    outlook = await scheduler.outlook(Resources(cpus=4, gpus=2), EVERYTHING)
    assert outlook.starts_at is not None and outlook.starts_at < time.time() + 60 and outlook.sooner is None
    assert (await scheduler.queue()).silence == ""


async def test_a_closed_partition_has_no_start(scheduler: SlurmScheduler) -> None:
    assert (await scheduler.outlook(Resources(partition="closed"), EVERYTHING)).starts_at is None


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (Resources(cpus=400), "Requested node configuration is not available"),
        (Resources(gpus=3), "Requested node configuration is not available"),
        (Resources(runtime=timedelta(hours=9)), "partition main gives a job at most 8 h"),
        (Resources(partition="nowhere"), "invalid partition specified: nowhere"),
    ],
)
async def test_what_slurm_would_refuse_it_says_before(scheduler: SlurmScheduler, resources: Resources, said: str) -> None:
    outlook = await scheduler.outlook(resources)
    assert said in outlook.refused and outlook.starts_at is None and await scheduler.starts_at(resources) is None


async def test_a_running_job_tells_its_use_and_its_end(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    script = "head -c 100M /dev/zero | tail > /dev/null & while :; do :; done"
    resources = Resources(cpus=2, memory_mb=500, gpus=1, runtime=timedelta(minutes=30))
    job_id = await scheduler.submit(job(script, tmp_path, resources))
    await runs(scheduler, job_id)

    async def measured() -> bool:
        used = await scheduler.usage(job_id)
        return used is not None and bool(used.cpu_s) and (used.memory_peak_mb or 0) > 1

    await until(measured)
    used, ends_at = await scheduler.usage(job_id), await scheduler.ends_at(job_id)
    assert used is not None and ends_at is not None
    assert (used.asked.cpus, used.asked.memory_mb, used.asked.gpus, used.asked.runtime_s) == (2, 500, 1, 1800.0)
    assert abs(used.elapsed_s + ends_at - time.time() - 1800) < 5 and used.ends_at == ends_at
    await scheduler.cancel(job_id)

    async def over() -> bool:
        ended = await scheduler.usage(job_id)
        return ended is not None and ended.ends_at is None

    await until(over)
    assert await scheduler.ends_at(job_id) is None


async def test_a_job_that_waits_knows_why_and_its_place(scheduler: SlurmScheduler, busy: str, tmp_path: Path) -> None:
    second = await scheduler.submit(job("true", tmp_path, Resources(cpus=CORES, runtime=timedelta(hours=1)), "second"))

    async def planned() -> bool:
        waiting = await scheduler.waiting(second)
        return waiting is not None and waiting.expected_at is not None

    await until(planned)
    first, then = await scheduler.waiting(busy), await scheduler.waiting(second)
    assert first is not None and then is not None
    assert (first.position, first.reason) == (1, "it is next, and waits for enough free resources")
    assert (then.position, then.reason) == (2, "others are before it in the queue")
    assert 0 < (first.expected_at or 0) - time.time() < 3000
    queue = await scheduler.queue()
    assert (queue.pending, queue.running) == (2, 3)


async def test_a_job_that_is_held_has_no_place(scheduler: SlurmScheduler, cluster: Cluster, busy: str) -> None:
    cluster.run("scontrol", "hold", busy)

    async def told() -> bool:
        waiting = await scheduler.waiting(busy)
        return waiting is not None and waiting.position is None and "holds it back" in waiting.reason

    await until(told)
    assert "holds it back" in await scheduler.explain(busy)
    cluster.run("scontrol", "release", busy)


async def test_what_is_promised_to_start_at_once_does(scheduler: SlurmScheduler, busy: str, tmp_path: Path) -> None:
    asked = Resources(cpus=CORES, memory_mb=4000, runtime=timedelta(hours=1))
    outlook = await scheduler.outlook(asked, EVERYTHING)
    assert outlook.starts_at is not None and outlook.starts_at > time.time() + 600
    smaller = outlook.sooner
    assert smaller is not None and smaller.cpus == 1 and smaller.memory_mb == 4000
    assert smaller.runtime is not None and timedelta(minutes=15) <= smaller.runtime < timedelta(minutes=50)
    as_told = await scheduler.submit(job("exec sleep 300", tmp_path, smaller, "smaller"))
    await runs(scheduler, as_told)
    assert await scheduler.waiting(as_told) is None and await scheduler.waiting(busy) is not None


async def test_only_what_may_change_becomes_smaller(scheduler: SlurmScheduler, busy: str) -> None:
    asked = Resources(cpus=CORES, runtime=timedelta(minutes=10))
    assert (await scheduler.outlook(asked, ["memory_mb", "runtime"])).sooner is None
    sooner = (await scheduler.outlook(asked, ["cpus"])).sooner
    assert sooner == asked.model_copy(update={"cpus": 1})


async def test_a_short_job_takes_the_gap_before_the_next(scheduler: SlurmScheduler, busy: str) -> None:
    short = await scheduler.outlook(Resources(cpus=1, memory_mb=100, runtime=timedelta(minutes=10)))
    assert short.starts_at is not None and short.starts_at < time.time() + 60
    long = await scheduler.outlook(Resources(cpus=1, memory_mb=100, runtime=timedelta(hours=1)), EVERYTHING)
    assert long.sooner is not None and long.sooner.cpus == 1 and long.sooner.runtime == timedelta(minutes=45)


@pytest.mark.parametrize("job_id", ["", "999999", "1;id", "--help", "$(id)", "1\n2", "ü" * 5000])
async def test_a_job_that_is_none_tells_nothing(scheduler: SlurmScheduler, job_id: str) -> None:
    told = [await scheduler.waiting(job_id), await scheduler.usage(job_id), await scheduler.ends_at(job_id)]
    assert told == [None, None, None]


class Proxy:
    """Stands before Slurm's commands: counts their calls, and lets them fail or hang while it is told to."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        for name in names:
            script = f"""#!/bin/bash
echo x >> {folder}/{name}.asked
while [[ -e {folder}/hang ]]; do sleep 0.1; done
[[ -e {folder}/fail ]] && {{ echo "{name}: error: Unable to contact slurm controller (connect failure)" >&2; exit 1; }}
exec /usr/bin/{name} "$@"
"""
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)

    def asked(self, name: str) -> int:
        file = self.folder / f"{name}.asked"
        return file.read_text().count("x") if file.exists() else 0

    def environment(self, cluster: Cluster) -> dict[str, str]:
        return {**cluster.environment, "PATH": f"{self.folder}:{os.environ['PATH']}"}


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path, ("squeue", "sinfo", "sbatch", "scontrol", "sstat", "sacct"))


async def test_a_slurm_that_is_silent_gives_old_answers_with_their_age(cluster: Cluster, proxy: Proxy, busy: str) -> None:
    scheduler = SlurmScheduler(Slurm(proxy.environment(cluster), tick_s=0.0, outlook_s=0.0))
    before = await scheduler.waiting(busy), await scheduler.free(), await scheduler.queue()
    (proxy.folder / "fail").touch()
    after = await scheduler.waiting(busy), await scheduler.free(), await scheduler.queue()
    assert before[0] is not None and after[0] is not None and after[0].position == before[0].position
    assert after[0].asked_at <= before[2].asked_at  # type: ignore[operator]
    assert after[1] == before[1] and after[2].pending == before[2].pending
    assert before[2].silence == "" and "Unable to contact slurm controller" in after[2].silence
    assert (await scheduler.query_many([busy]))[busy].state is State.UNKNOWN
    outlook = await scheduler.outlook(Resources(cpus=2), EVERYTHING)
    assert (outlook.starts_at, outlook.refused, outlook.sooner) == (None, "", None)


async def test_a_slurm_that_was_never_heard_tells_nothing(cluster: Cluster, proxy: Proxy) -> None:
    (proxy.folder / "fail").touch()
    scheduler = SlurmScheduler(Slurm(proxy.environment(cluster)))
    assert await scheduler.free() == {} and await scheduler.usage("1") is None and await scheduler.waiting("1") is None
    queue = await scheduler.queue()
    assert queue.asked_at is None and "Unable to contact" in queue.silence


async def test_a_page_does_not_wait_for_a_command_that_hangs(
    cluster: Cluster, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emkit_jobs.slurm.scheduler.PATIENCE_S", 0.2)
    scheduler = SlurmScheduler(Slurm(proxy.environment(cluster), tick_s=0.0, outlook_s=0.0, patience_s=200))
    before = await scheduler.free()
    (proxy.folder / "hang").touch()
    assert await scheduler.free() == before and (await scheduler.waiting("1")) is None
    (proxy.folder / "hang").unlink()
    await until(lambda: scheduler.slurm.free.get())


async def test_many_shapes_at_once_do_not_keep_slurm_busy(cluster: Cluster, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emkit_jobs.slurm.outlook.PATIENCE_S", 1.0)
    (proxy.folder / "hang").touch()
    scheduler = SlurmScheduler(Slurm(proxy.environment(cluster), patience_s=200))
    outlooks = await asyncio.gather(*(scheduler.outlook(Resources(memory_mb=100 + n)) for n in range(20)))

    async def begun() -> bool:
        return proxy.asked("sbatch") >= TESTS_AT_ONCE

    await until(begun)
    assert proxy.asked("sbatch") == TESTS_AT_ONCE and {outlook.starts_at for outlook in outlooks} == {None}
    (proxy.folder / "hang").unlink()

    async def all_answered() -> bool:
        return (await scheduler.outlook(Resources(memory_mb=119))).starts_at is not None

    await until(all_answered)


async def test_one_question_serves_everybody(cluster: Cluster, proxy: Proxy) -> None:
    slurm = Slurm(proxy.environment(cluster), tick_s=60, outlook_s=60)
    people = [SlurmScheduler(slurm, user=name) for name in ("ann", "bob", "eve")] * 5
    await asyncio.gather(*(one.free() for one in people), *(one.outlook(Resources(cpus=2)) for one in people))
    await asyncio.gather(*(one.waiting("1") for one in people), *(one.queue() for one in people))
    assert (proxy.asked("sinfo"), proxy.asked("squeue"), proxy.asked("sbatch")) == (1, 1, 1)
