"""What is free on this machine, and what some of its processes use, read from /proc."""

import os
import re
import time
from collections.abc import Collection

from emkit_jobs.processes import PROC
from emkit_jobs.scheduler import Free, Room

_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 11, 12, 13, 14  # fields of /proc/PID/stat, counted from the state on
_IDLE, _WAITING = 3, 4  # fields of /proc/stat


def core_times() -> dict[int, tuple[float, float]]:
    """Idle time and all time of each core that we may use, in ticks since boot."""
    ours = os.sched_getaffinity(0)
    found = {}
    for core, fields in re.findall(r"^cpu(\d+) (.*)$", (PROC / "stat").read_text(), re.M):
        ticks = [float(field) for field in fields.split()]
        if int(core) in ours:
            found[int(core)] = ticks[_IDLE] + ticks[_WAITING], sum(ticks[:8])  # a guest's time is within its user's
    return found


def free(before: dict[int, tuple[float, float]]) -> Free:
    """What is free now. A core counts by how idle it was since `before`, earlier `core_times`."""
    now = core_times()
    idle = sum((now[core][0] - old[0]) / max(1.0, now[core][1] - old[1]) for core, old in before.items() if core in now)
    kilobytes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", (PROC / "meminfo").read_text(), re.M))
    cores, memory_mb = min(round(idle), len(now)), int(kilobytes["MemAvailable"]) // 1024
    return Free(
        partition="",
        nodes=int(cores == len(now)),
        nodes_up=1,
        cpus=cores,
        cpus_up=len(now),
        gpus=0,
        gpus_up=0,
        memory_mb=memory_mb,
        memory_up_mb=int(kilobytes["MemTotal"]) // 1024,
        asked_at=time.time(),
        default=True,
        shared=True,
        rooms=(Room("", cores, memory_mb, 0),),
    )


def use(pids: Collection[int]) -> tuple[float, float]:
    """Seconds of processor time that these processes and the children that they have waited for have used, and their memory
    in MiB now. Pages that several of them share count once."""
    ticks = kilobytes = 0.0
    for pid in pids:
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            shares = re.search(r"^Pss:\s+(\d+)", (PROC / str(pid) / "smaps_rollup").read_text(), re.M)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has just ended, or it is another account's
        ticks += sum(float(fields[field]) for field in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM))
        kilobytes += float(shares[1]) if shares else 0.0
    return ticks / os.sysconf("SC_CLK_TCK"), kilobytes / 1024
