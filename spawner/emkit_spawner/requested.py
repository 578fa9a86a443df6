"""batchspawner's `req_*` texts read as resources, so that a site's configuration keeps its meaning."""

import re
from datetime import timedelta

from emkit_jobs.profiles import Resources

_MEMORY = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_TO_MB = {"k": 1 / 1024, "": 1.0, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_RUNTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


def memory_mb(text: str) -> int:
    """Megabytes of "1500", "1500M", "4gb"; without a unit they are megabytes, as for Slurm."""
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"req_memory is {text!r}: write a number of megabytes, or one with K, M, G or T.")
    return max(1, round(int(found[1]) * _TO_MB[found[2].lower()]))


def runtime(text: str) -> timedelta:
    """The time of "90" (minutes), "90:00", "1:30:00", "1-12", "1-12:30", "1-12:30:00", as for Slurm."""
    found = _RUNTIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"req_runtime is {text!r}: write minutes, MINUTES:SECONDS, HOURS:MINUTES:SECONDS or DAYS-HOURS.")
    numbers = [int(number) for number in found["clock"].split(":")]
    if found["days"] is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: (0, *numbers, 0), 2: (0, *numbers), 3: tuple(numbers)}[len(numbers)]
    return timedelta(days=int(found["days"] or 0), hours=hours, minutes=minutes, seconds=seconds)


def resources(*, nprocs: str, memory: str, ngpus: str, time: str, partition: str, account: str) -> Resources:
    """The resources that these texts ask for; an empty one leaves it to the scheduler."""
    return Resources(
        cpus=int(nprocs) if nprocs else None,
        memory_mb=memory_mb(memory) if memory else None,
        gpus=int(ngpus) if ngpus else 0,
        runtime=runtime(time) if time else None,
        partition=partition or None,
        account=account or None,
    )
