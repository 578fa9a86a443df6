"""The local scheduler with real processes: states, cancelling trees, numbers used twice, death by force."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from emkit_jobs import processes
from emkit_jobs.local import LocalScheduler
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Asked, Job, SchedulerError, State

ENVIRONMENT = {"PATH": os.defpath, "SECRET": "a token"}
SLEEP = "exec sleep 300"


@pytest.fixture
def scheduler(tmp_path: Path) -> LocalScheduler:
    return LocalScheduler(tmp_path / "jobs", grace_s=2.0)


def job(script: str, name: str = "a-job", resources: Resources | None = None, folder: Path = Path("/tmp")) -> Job:
    return Job(name, "#!/bin/bash\n" + script + "\n", folder, ENVIRONMENT, resources or Resources())


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await ready():
            await asyncio.sleep(0.01)


async def reaches(scheduler: LocalScheduler, job_id: str, state: State) -> None:
    async def there() -> bool:
        return (await scheduler.query_many([job_id]))[job_id].state is state

    await until(there)


async def holds(path: Path) -> str:
    async def there() -> bool:
        return path.exists() and path.read_text().endswith("\n")

    await until(there)
    return path.read_text()


async def test_a_job_runs_to_its_end_with_its_own_exit_code(scheduler: LocalScheduler) -> None:
    job_id = await scheduler.submit(job("echo said; exit 7"))
    await reaches(scheduler, job_id, State.FINISHED)
    status = (await scheduler.query_many([job_id]))[job_id]
    assert (status.exit_code, status.reason) == (7, "ended with exit code 7")
    assert (await scheduler.explain(job_id)).endswith("Its log ends with:\nsaid")
    assert await scheduler.find("") == {}


async def test_files_are_private_and_hold_no_secret(scheduler: LocalScheduler) -> None:
    job_id = await scheduler.submit(job(SLEEP))
    await reaches(scheduler, job_id, State.RUNNING)
    folder = scheduler.folder / job_id
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (scheduler.folder, folder, folder / "log", folder / "script")}
    assert modes == {"jobs": 0o700, job_id: 0o700, "log": 0o600, "script": 0o700}
    assert not any("a token" in path.read_text() for path in folder.iterdir())
    commands = [(processes.PROC / str(pid) / "cmdline").read_bytes() for pid in processes.carrying(job_id)]
    assert commands and not any(b"a token" in command for command in commands)
    await scheduler.cancel(job_id)


async def test_cancel_ends_the_whole_tree_also_what_left_the_session_and_what_does_not_listen(
    scheduler: LocalScheduler, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    script = f"""
    (trap '' TERM; sleep 301) &
    setsid sleep 302 &
    setsid bash -c "trap '' TERM; while :; do sleep 303; done" &
    trap 'exit 0' TERM
    echo ready > {told}
    while :; do sleep 0.05; done"""
    job_id = await scheduler.submit(job(script))
    await holds(told)

    async def grown() -> bool:
        return len(processes.carrying(job_id)) >= 6

    await until(grown)
    await scheduler.cancel(job_id)
    assert processes.carrying(job_id) == set()
    assert (await scheduler.query_many([job_id]))[job_id].state is State.FINISHED
    await scheduler.cancel(job_id)  # once more: nothing to do


async def test_a_polite_stop_reaches_the_script_and_its_exit_code_is_kept(scheduler: LocalScheduler, tmp_path: Path) -> None:
    job_id = await scheduler.submit(
        job(f"trap 'echo saving; exit 3' TERM; echo ready > {tmp_path}/told; while :; do sleep 0.05; done")
    )
    await holds(tmp_path / "told")
    await scheduler.cancel(job_id)
    assert (await scheduler.query_many([job_id]))[job_id].exit_code == 3
    assert "saving" in await scheduler.explain(job_id)


async def test_a_number_that_another_process_has_by_now_is_not_our_job(scheduler: LocalScheduler) -> None:
    job_id = await scheduler.submit(job(SLEEP))
    await reaches(scheduler, job_id, State.RUNNING)
    record = scheduler.folder / job_id / "pid"
    leader = processes.Identity.read(record)
    assert leader is not None
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        record.write_text(f"{stranger.pid} {leader.start} {leader.boot}\n")  # as if the kernel had given the number away
        assert (await scheduler.query_many([job_id]))[job_id].state is State.FINISHED
        await scheduler.cancel(job_id)
        assert stranger.poll() is None
        record.write_text(f"{stranger.pid} {processes.Identity(stranger.pid, leader.start, leader.boot).start} another-boot\n")
        assert (await scheduler.query_many([job_id]))[job_id].state is State.FINISHED
    finally:
        stranger.kill()
        stranger.wait()


async def test_jobs_outlive_a_submitter_that_is_killed(scheduler: LocalScheduler) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from emkit_jobs.local import LocalScheduler
from emkit_jobs.scheduler import Job
scheduler = LocalScheduler(Path({str(scheduler.folder)!r}))
asyncio.run(scheduler.submit(Job("a-job", "#!/bin/bash\\n{SLEEP}\\n", Path("/tmp"), {ENVIRONMENT!r})))
print("submitted", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as submitter:
        assert submitter.stdout is not None
        assert submitter.stdout.readline() == "submitted\n"
        os.killpg(submitter.pid, signal.SIGKILL)
    await reaches(scheduler, "a-job", State.RUNNING)
    assert await scheduler.find("a-") == {"a-job": "a-job"}
    await scheduler.cancel("a-job")
    assert processes.carrying("a-job") == set()


async def test_a_job_killed_by_force_is_finished_not_unknown(scheduler: LocalScheduler) -> None:
    job_id = await scheduler.submit(job(SLEEP))
    await reaches(scheduler, job_id, State.RUNNING)
    leader = processes.Identity.read(scheduler.folder / job_id / "pid")
    assert leader is not None
    processes.send(leader.pid, signal.SIGKILL)  # before the script: else it still writes that the script was killed
    for pid in processes.carrying(job_id):
        processes.send(pid, signal.SIGKILL)
    await reaches(scheduler, job_id, State.FINISHED)
    assert "finished, killed" in await scheduler.explain(job_id)


async def test_without_evidence_a_job_is_unknown(scheduler: LocalScheduler, tmp_path: Path) -> None:
    assert (await scheduler.query_many(["never"]))["never"].state is State.UNKNOWN  # the folder of jobs itself is not there
    job_id = await scheduler.submit(job(SLEEP))
    await reaches(scheduler, job_id, State.RUNNING)
    record = scheduler.folder / job_id / "pid"
    whole = record.read_text()
    record.write_text("no number")
    assert (await scheduler.query_many([job_id]))[job_id].state is State.UNKNOWN
    record.write_text(whole)
    (scheduler.folder / job_id / "pid").rename(tmp_path / "lost")
    assert (await scheduler.query_many([job_id]))[job_id].state is State.PENDING  # its processes still carry its name
    (tmp_path / "lost").rename(record)
    await scheduler.cancel(job_id)


async def test_a_job_that_was_never_started_is_finished_after_a_while(scheduler: LocalScheduler) -> None:
    (scheduler.folder / "half").mkdir(parents=True)  # killed between making the folder and starting the job
    assert (await scheduler.query_many(["half"]))["half"].state is State.PENDING
    os.utime(scheduler.folder / "half", (time.time() - 60, time.time() - 60))
    assert (await scheduler.query_many(["half"]))["half"].state is State.FINISHED


async def test_limits_hold(scheduler: LocalScheduler) -> None:
    resources = Resources(cpus=1, memory_mb=200, runtime=timedelta(seconds=4))
    code = (
        "import os, resource; print(len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_DATA)[0] // 2**20, flush=True)"
    )
    job_id = await scheduler.submit(job(f'{sys.executable} -c "{code}"; {SLEEP}', resources=resources))
    await reaches(scheduler, job_id, State.FINISHED)
    assert await scheduler.explain(job_id) == f"Job {job_id}: finished, ended at its time limit. Its log ends with:\n1 200"


@pytest.mark.parametrize("name", ["", "../up", "a b", "-rf", ".hidden", "a\nb", "x" * 200])
async def test_names_that_are_no_folder_are_refused(scheduler: LocalScheduler, name: str) -> None:
    with pytest.raises(SchedulerError, match="cannot name a job"):
        await scheduler.submit(job(SLEEP, name=name))


async def test_a_job_that_cannot_start_is_refused_and_leaves_nothing(scheduler: LocalScheduler, tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="could not be started in"):
        await scheduler.submit(job(SLEEP, folder=tmp_path / "missing"))
    with pytest.raises(SchedulerError, match="has none"):
        await scheduler.submit(job(SLEEP, resources=Resources(gpus=1)))
    assert await scheduler.find("") == {}
    await scheduler.submit(job("true"))
    with pytest.raises(SchedulerError, match="cannot be made"):
        await scheduler.submit(job("true"))


async def test_log_tail_is_bounded_and_survives_bytes_that_are_no_text(scheduler: LocalScheduler) -> None:
    job_id = await scheduler.submit(job("yes line | head -c 100000; printf 'end \\xff'"))
    await reaches(scheduler, job_id, State.FINISHED)
    text = await scheduler.explain(job_id)
    assert len(text) < 5000 and text.endswith("end \ufffd")


async def test_a_job_tells_what_it_uses_and_what_it_has_used(scheduler: LocalScheduler, tmp_path: Path) -> None:
    hold = "x = bytearray(60 * 2**20); x[::4096] = b'1' * len(x[::4096]); print('held', flush=True); input()"
    script = (
        f'mkfifo {tmp_path}/go; bash -c "for ((i = 0; i < 300000; i++)); do :; done"; {sys.executable} -c "{hold}" < {tmp_path}/go'
    )
    resources = Resources(cpus=1, memory_mb=4000, runtime=timedelta(minutes=5))
    job_id = await scheduler.submit(job(script, resources=resources))
    assert await scheduler.waiting(job_id) is None

    async def held() -> bool:
        used = await scheduler.usage(job_id)
        return used is not None and (used.memory_peak_mb or 0) > 60

    await until(lambda: asyncio.to_thread((tmp_path / "go").exists))
    with (tmp_path / "go").open("w") as go:
        await until(held)
        used, ends_at = await scheduler.usage(job_id), await scheduler.ends_at(job_id)
        assert used is not None and ends_at is not None and used.cpu_s is not None
        assert used.asked == Asked(1, 4000, 0, 300.0) and used.cpu_s > 0.05
        assert abs(used.elapsed_s + ends_at - time.time() - 300) < 5
        go.write("\n")
    await reaches(scheduler, job_id, State.FINISHED)
    whole = await scheduler.usage(job_id)
    assert whole is not None and whole.ends_at is None and (whole.cpu_s or 0) > 0.05 and (whole.memory_peak_mb or 0) > 60
    assert await scheduler.ends_at(job_id) is None


async def test_the_machine_is_one_partition_and_starts_at_once(scheduler: LocalScheduler) -> None:
    (room,) = (await scheduler.free()).values()
    assert (room.default, room.nodes_up, room.gpus_up, room.cpus_up) == (True, 1, 0, len(os.sched_getaffinity(0)))
    assert 0 <= room.cpus <= room.cpus_up and 0 < room.memory_mb <= room.memory_up_mb
    assert (await scheduler.outlook(Resources(cpus=1))).starts_at is not None
    refused = await scheduler.outlook(Resources(gpus=1), ["gpus"])
    assert refused.starts_at is None and "has none" in refused.refused and await scheduler.starts_at(Resources(gpus=1)) is None
    assert (await scheduler.queue()).silence == ""


@pytest.mark.parametrize("job_id", ["", "never", "../../etc", "a\nb"])
async def test_a_job_that_is_none_has_used_nothing(scheduler: LocalScheduler, job_id: str) -> None:
    assert await scheduler.usage(job_id) is None and await scheduler.ends_at(job_id) is None
