"""What this process may use: cores and memory, as its job, its control group and its own limits give them."""

import ctypes
import os
import platform
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
M_MMAP_THRESHOLD = -3  # of malloc.h
ADDRESS, LOOPBACK = "EMKIT_ADDRESS", "127.0.0.1"
WORKER = "EMKIT_WORKER"


def cores() -> int:
    """Those that this process may use: by its affinity, and of its job (Slurm does not bind everywhere)."""
    bound = len(os.sched_getaffinity(0))
    return min(bound, _number("SLURM_CPUS_ON_NODE") or bound)


def address() -> str:
    """Where the tasks of this run that are done at the same time reach this process; in workers of dask their node."""
    return os.environ.get(ADDRESS, LOOPBACK)


def worker_number() -> int:
    """Which of the workers that share cores, memory and GPUs this process is: 0, 1, …, and none has the number of another."""
    return int(os.environ.get(WORKER, "0"))


def machine() -> dict[str, str]:
    """What bytes may depend on beside inputs, parameters, versions and threads: the kind of CPU; and the name of the host."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    names = (re.search(rf"^{key}\s*: (.+)$", cpuinfo, re.M) for key in ("model name", "Model", "cpu"))  # x86, ARM, POWER
    cpu = next((found[1] for found in names if found), platform.machine())
    return {"host": platform.node(), "cpu": cpu}


def memory_left() -> int:
    """Bytes this process may still use: the least that the machine, its control groups, its job and its own limit leave."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    left = [int(meminfo["MemAvailable"].split()[0]) * 1024, *_left_in_groups(GROUPS, Path("/proc/self/cgroup").read_text())]
    if given_mb := _number("SLURM_MEM_PER_NODE") or _number("SLURM_MEM_PER_CPU") * (_number("SLURM_CPUS_ON_NODE") or 1):
        left.append(given_mb * 2**20 - status("VmRSS"))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        left.append(own - status("VmSize"))
    return max(0, min(left))


def give_back_large(at_least_bytes: int = 2**18) -> None:
    """From now on this process gives the memory of large arrays back when they are freed.

    The C library would keep it for the next one, for each thread apart, so that a loop over parts of a file grows with their number
    (mallopt of glibc; elsewhere nothing happens).
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, at_least_bytes)


def status(key: str) -> int:
    """Bytes that the kernel counts for this process under this name, such as VmRSS."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


def _left_in_groups(root: Path, mine: str) -> Iterator[int]:
    """What each control group around this process leaves; `mine`: /proc/self/cgroup, where version 2 has the number 0.

    Pages of files that nobody has touched lately are counted as used there, and are given up for whoever needs memory.
    """
    for line in mine.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, limit, used, cached = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_inactive_file"
        else:
            continue
        group = top / path.strip("/")
        for folder in (group, *group.parents):  # a limit of a job may stand above the group of its step
            if not folder.is_relative_to(top) or not (folder / limit).is_file():
                continue
            if (text := (folder / limit).read_text().strip()) != "max":
                told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield int(text) - int((folder / used).read_text()) + int(told[cached])


def _number(variable: str) -> int:
    """Of a variable of Slurm's; 0 where there is none, which is also Slurm's word for "all of the node"."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0
