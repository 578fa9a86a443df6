"""What a job uses: planted cgroup files give exactly their numbers, and a real process of a job is found with its memory."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from emkit_jobs.scheduler import JOB_VARIABLE
from emkit_spawner.session.usage import MB, JobUsage, Sample, cpus_between

HOLDS_MB = 200
# holds memory, works for a moment that the kernel's clock can see, says so, and waits for its end
WORKER = f"""
import sys, time
held = bytearray({HOLDS_MB} * 2**20)
while time.process_time() < 0.1: held[0] = 1
print("ready", flush=True)
sys.stdin.read()
"""


def test_processors_are_what_was_used_between_two_samples() -> None:
    before = Sample(0, {"1": 10.0, "2": 5.0, "3": 7.0})
    after = Sample(0, {"1": 14.0, "2": 5.0, "4": 2.0})  # 3 has ended, 4 is new
    assert cpus_between(before, after, 4.0) == 1.5


@pytest.mark.parametrize(
    ("membership", "files", "sample"),
    [
        (
            "0::/system.slice/slurmstepd.scope/job_42/step_batch/user/task_0\n",
            {
                "system.slice/slurmstepd.scope/job_42/memory.current": f"{900 * MB}\n",
                "system.slice/slurmstepd.scope/job_42/memory.stat": f"anon 1\ninactive_file {200 * MB}\nactive_file 5\n",
                "system.slice/slurmstepd.scope/job_42/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            },
            Sample(700 * MB, {"cgroup": 2.5}),
        ),
        (
            "3:memory:/slurm/uid_7/job_42/step_batch\n2:cpu,cpuacct:/slurm/uid_7/job_42/step_batch\n1:name=systemd:/x\n",
            {
                "memory/slurm/uid_7/job_42/memory.usage_in_bytes": f"{900 * MB}\n",
                "memory/slurm/uid_7/job_42/memory.stat": f"cache 9\ntotal_inactive_file {100 * MB}\n",
                "cpuacct/slurm/uid_7/job_42/cpuacct.usage": "1500000000\n",
            },
            Sample(800 * MB, {"cgroup": 1.5}),
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_a_jobs_own_cgroup_is_read(tmp_path: Path, membership: str, files: dict[str, str], sample: Sample) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert JobUsage("a-job", membership=tmp_path / "membership", cgroups=tmp_path).sample() == sample


@pytest.mark.parametrize("membership", ["0::/user.slice\n", "0::/system.slice/slurmstepd.scope/job_42/step_batch\n"])
def test_without_one_the_jobs_processes_are_added_up(tmp_path: Path, membership: str) -> None:
    (tmp_path / "membership").write_text(membership)  # the second: a cgroup that counts nothing
    job = f"test-{secrets.token_hex(8)}"
    usage = JobUsage(job, membership=tmp_path / "membership", cgroups=tmp_path)
    assert usage.sample() == Sample(0, {})
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(
        command, env={**os.environ, JOB_VARIABLE: job}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
        sample = usage.sample()
        worker.communicate("")
    assert HOLDS_MB * MB < sample.memory < 2 * HOLDS_MB * MB
    assert set(sample.cpu_s) == {str(worker.pid)} and sample.cpu_s[str(worker.pid)] >= 0.1
