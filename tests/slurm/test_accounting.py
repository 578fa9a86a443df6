"""What accounting remembers of a job that has ended: a Slurm with a database, so for campaigns only."""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from emkit_jobs.efficiency import advice
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job
from emkit_jobs.slurm import Slurm, SlurmScheduler, accounting

from tests.faults.clusters import Namespaces
from tests.slurm.accounts import open_folder

pytestmark = pytest.mark.campaign


@pytest.fixture(scope="module")
def accounted() -> Iterator[Namespaces]:
    if os.geteuid() != 0:
        pytest.skip("Slurm starts jobs as their users, which needs root")
    with open_folder() as folder:
        found = Namespaces(folder)
        try:
            found.start()
            yield found
        finally:
            found.stop()


async def test_an_ended_job_tells_its_memory_and_processor_time(accounted: Namespaces, tmp_path: Path) -> None:
    scheduler = SlurmScheduler(Slurm(accounted.environment, tick_s=0.1, outlook_s=0.1))
    hold = "import time; x = bytearray(300 * 2**20); x[::4096] = b'1' * len(x[::4096]); sum(range(10**7)); time.sleep(3)"
    resources = Resources(cpus=2, memory_mb=2048, runtime=timedelta(hours=1))
    job = Job("test-accounted", f'#!/bin/bash\npython3 -c "{hold}"\n', tmp_path, {"PATH": os.defpath}, resources)
    job_id = await scheduler.submit(job)
    async with asyncio.timeout(90):
        while (used := await accounting.usage(scheduler.slurm, job_id)) is None or used.ends_at is not None or used.cpu_s is None:
            await asyncio.sleep(0.2)
    assert 300 < (used.memory_peak_mb or 0) < 400 and used.cpu_s > 0.1 and used.elapsed_s >= 3
    assert (used.asked.cpus, used.asked.memory_mb, used.asked.gpus, used.asked.runtime_s) == (2, 2048, 0, 3600.0)
    assert advice(used) == ""  # too short to say anything
    long = type(used)(**{**vars(used), "elapsed_s": 3000.0})
    assert advice(long).startswith("It used 0.3 of 2 GB: ask for 0.5 GB.")
