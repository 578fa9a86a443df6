"""The Slurm adapter against a real Slurm: states, evidence, secrets, one question for all, and a Slurm that does not answer."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job, SchedulerError, State
from emkit_jobs.slurm import Slurm, SlurmScheduler

from tests.slurm.accounts import open_folder
from tests.slurm.cluster import Cluster

SLEEP = "exec sleep 300"


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[SlurmScheduler]:
    made = SlurmScheduler(Slurm(cluster.environment, tick_s=0.1, patience_s=5))  # without munge a command would take a minute
    yield made
    for job_id in (await made.find("test-")).values():
        await made.cancel(job_id)


def job(script: str, folder: Path, name: str = "a", resources: Resources | None = None) -> Job:
    environment = {"PATH": os.defpath, "SECRET": "a token", "ODD": "two\nlines, 'quoted' $(id)"}
    return Job(f"test-{name}", "#!/bin/bash\n" + script + "\n", folder, environment, resources or Resources(memory_mb=100))


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await ready():
            await asyncio.sleep(0.05)


async def reaches(scheduler: SlurmScheduler, job_id: str, state: State) -> None:
    async def there() -> bool:
        return (await scheduler.query_many([job_id]))[job_id].state is state

    await until(there)


async def test_a_job_runs_to_its_end(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job('printf %s "$ODD" > odd; echo "$SECRET $EMKIT_JOB"; exit 7', tmp_path))
    await reaches(scheduler, job_id, State.FINISHED)
    assert (tmp_path / "odd").read_text() == "two\nlines, 'quoted' $(id)"
    told = await scheduler.explain(job_id)
    assert told.startswith(f"Job {job_id}: finished, failed") and told.endswith("a token test-a")


async def test_a_running_job_has_an_address_and_no_secret_in_sight(
    scheduler: SlurmScheduler, cluster: Cluster, tmp_path: Path
) -> None:
    job_id = await scheduler.submit(job(SLEEP, tmp_path))
    await reaches(scheduler, job_id, State.RUNNING)
    assert (await scheduler.query_many([job_id]))[job_id].host == "127.0.0.1"
    assert "a token" not in cluster.run("scontrol", "show", "job", "-dd", job_id)
    assert await scheduler.find("test-") == {"test-a": job_id} and await scheduler.find("other-") == {}
    await scheduler.cancel(job_id)
    assert (await scheduler.query_many([job_id]))[job_id].reason == "cancelled"
    await scheduler.cancel(job_id)


async def test_a_name_cannot_pass_for_another_job(scheduler: SlurmScheduler, cluster: Cluster, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job(SLEEP, tmp_path))
    command = ["sbatch", "--parsable", f"--job-name=x\n{job_id}|root|test-forged", "--output=/dev/null", "--wrap=sleep 60"]
    other = cluster.run(*command).strip()
    try:
        assert await scheduler.find("test-") == {"test-a": job_id} == await scheduler.find("test-", own=True)
        assert list((await scheduler.find("x\n")).values()) == [other]
        stranger = SlurmScheduler(scheduler.slurm, "nobody")
        assert await stranger.find("test-") == {"test-a": job_id} and await stranger.find("test-", own=True) == {}
    finally:
        await scheduler.cancel(other)


async def test_a_link_in_place_of_the_log_is_not_followed_to_others_files(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job("echo said", tmp_path))
    await reaches(scheduler, job_id, State.FINISHED)
    (tmp_path / "secret").write_text("of another account")
    os.chown(tmp_path / "secret", 65534, 65534)
    (tmp_path / ".emkit-test-a.log").unlink()
    (tmp_path / ".emkit-test-a.log").symlink_to("secret")
    told = await scheduler.explain(job_id)
    assert "another account" not in told and "it is not a file of the job's account" in told


async def test_a_job_that_waits_says_why(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job(SLEEP, tmp_path, resources=Resources(partition="closed")))
    await reaches(scheduler, job_id, State.PENDING)

    async def reason() -> bool:
        return (await scheduler.query_many([job_id]))[job_id].reason == "PartitionDown"

    await until(reason)
    assert "pending, its partition is closed at the moment" in await scheduler.explain(job_id)
    await scheduler.cancel(job_id)


async def test_what_slurm_refuses_is_told_in_its_own_words(scheduler: SlurmScheduler, tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="invalid partition specified: nowhere"):
        await scheduler.submit(job(SLEEP, tmp_path, resources=Resources(partition="nowhere")))
    assert await scheduler.find("test-") == {}


async def test_a_job_that_slurm_forgot_is_finished_by_its_word_alone(scheduler: SlurmScheduler) -> None:
    status = (await scheduler.query_many(["999999"]))["999999"]
    assert status.state is State.FINISHED and "no such job" in status.reason


async def test_a_slurm_that_does_not_answer_kills_nobody(cluster: Cluster, scheduler: SlurmScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job(SLEEP, tmp_path))
    await reaches(scheduler, job_id, State.RUNNING)
    cluster.end("slurmctld", signal.SIGTERM)  # by force it would forget what it had not yet written down
    try:
        await reaches(scheduler, job_id, State.UNKNOWN)
        with pytest.raises(SchedulerError, match="scancel"):
            await scheduler.cancel(job_id)
    finally:
        cluster.start_controller()
    await reaches(scheduler, job_id, State.RUNNING)
    await scheduler.cancel(job_id)


async def test_a_munge_that_is_down_kills_nobody(cluster: Cluster, scheduler: SlurmScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(job(SLEEP, tmp_path))
    await reaches(scheduler, job_id, State.RUNNING)
    cluster.end("munged")
    try:
        await reaches(scheduler, job_id, State.UNKNOWN)
    finally:
        cluster.start_munge()
    await reaches(scheduler, job_id, State.RUNNING)
    await scheduler.cancel(job_id)


async def test_one_question_serves_everybody(cluster: Cluster, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "squeue").write_text(f'#!/bin/bash\necho x >> {asked}\nexec /usr/bin/squeue "$@"\n')
    (tmp_path / "squeue").chmod(0o755)
    slurm = Slurm({**cluster.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, tick_s=60)
    schedulers = [SlurmScheduler(slurm, user=name) for name in ("ann", "bob", "eve")]
    await asyncio.gather(*(one.query_many(["999998", "999999"]) for one in schedulers for _ in range(10)))
    assert asked.read_text().count("x") == 1


async def test_with_sudo_a_job_is_its_users_own(cluster: Cluster) -> None:
    scheduler = SlurmScheduler(Slurm(cluster.environment, tick_s=0.1), user="nobody", sudo=True)
    with open_folder() as folder:
        (own := folder / "own").mkdir()
        shutil.chown(own, "nobody")
        job_id = await scheduler.submit(job('echo "$(id -un) $SECRET"; exec sleep 300', own, "sudo"))
        await reaches(scheduler, job_id, State.RUNNING)

        async def told() -> bool:
            return (await scheduler.explain(job_id)).endswith("nobody a token")

        await until(told)
        await scheduler.cancel(job_id)


@pytest.mark.parametrize("name", ["x$(id)", "a b", "-u", "", "ü", "a\nb"])
def test_no_account_has_such_a_name(name: str) -> None:
    with pytest.raises(SchedulerError, match="no account's name"):
        SlurmScheduler(Slurm(), user=name)
