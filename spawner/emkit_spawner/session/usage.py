"""Memory and processor time of the job that this process is in: from its cgroup where it has one, else from /proc.

A scheduler that puts each job into a cgroup (Slurm with task/cgroup) has the kernel count for us. Elsewhere the job's processes
are added up: those that carry its name in their environment, each with the memory that is no file's. What they share after a fork
counts for each of them: to count it once, the kernel would walk through all their pages, again and again while somebody looks.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emkit_jobs.processes import PROC, carrying

MB = 2**20
_OF_A_JOB = re.compile(r"(.*/job_\d+)(?:/.*)?")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat, counted from the state on


@dataclass(frozen=True)
class Sample:
    """What a job holds at one moment: memory in bytes, and processor seconds by process (or of its one cgroup)."""

    memory: int
    cpu_s: Mapping[str, float]


def cpus_between(before: Sample, after: Sample, seconds: float) -> float:
    """Processors in use on average between two samples. A process that ended between them is left out."""
    return sum(max(0.0, used - before.cpu_s.get(key, 0.0)) for key, used in after.cpu_s.items()) / seconds


class JobUsage:
    """`sample()` measures the job named `job`. `cgroups`: where the cgroup file system is."""

    def __init__(self, job: str, *, membership: Path = PROC / "self/cgroup", cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._job = job
        self._memory, self._cpu = _controllers(membership.read_text(), cgroups)

    def sample(self) -> Sample:
        """The present usage. Takes some milliseconds, more where a machine has thousands of processes: call it in a thread."""
        if self._memory is not None and self._cpu is not None:
            return Sample(_memory(self._memory), {"cgroup": _cpu_s(self._cpu)})
        return _of_processes(carrying(self._job))


def _controllers(membership: str, cgroups: Path) -> tuple[Path | None, Path | None]:
    """The folders of the job's memory and processor controllers; None where the job has none of its own."""
    found: dict[str, Path] = {}
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        if (job := _OF_A_JOB.fullmatch(path)) is not None:
            for name in names.split(","):
                found[name] = cgroups / name / job[1].lstrip("/")  # version 2 has one tree, and no name
    memory, cpu = found.get("memory", found.get("")), found.get("cpuacct", found.get(""))
    has_memory = memory is not None and any((memory / name).is_file() for name in ("memory.current", "memory.usage_in_bytes"))
    has_cpu = cpu is not None and any((cpu / name).is_file() for name in ("cpu.stat", "cpuacct.usage"))
    return (memory if has_memory else None), (cpu if has_cpu else None)


def _memory(folder: Path) -> int:
    """Without the file cache that the kernel would give back first."""
    newer = (folder / "memory.current").is_file()
    used = int((folder / ("memory.current" if newer else "memory.usage_in_bytes")).read_text())
    cache = re.search(rf"^{'inactive_file' if newer else 'total_inactive_file'} (\d+)", (folder / "memory.stat").read_text(), re.M)
    return max(0, used - int(cache[1])) if cache else used


def _cpu_s(folder: Path) -> float:
    if (folder / "cpuacct.usage").is_file():
        return int((folder / "cpuacct.usage").read_text()) / 1e9
    told = re.search(r"^usage_usec (\d+)", (folder / "cpu.stat").read_text(), re.M)
    return int(told[1]) / 1e6 if told else 0.0


def _of_processes(pids: set[int]) -> Sample:
    memory, cpu_s = 0, {}
    for pid in pids:
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            held = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", (PROC / str(pid) / "status").read_text(), re.M)
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        memory += 1024 * sum(int(kilobytes) for kilobytes in held)
        cpu_s[str(pid)] = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S
    return Sample(memory, cpu_s)
