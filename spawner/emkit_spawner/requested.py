"""batchspawner's `req_*` texts read as resources, so that a site's configuration keeps its meaning."""

import re

from emkit_jobs.profiles import Resources, runtime

_MEMORY = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_TO_MB = {"k": 1 / 1024, "": 1.0, "m": 1.0, "g": 1024.0, "t": 1024.0**2}


def memory_mb(text: str) -> int:
    """Megabytes of "1500", "1500M", "4gb"; without a unit they are megabytes, as for Slurm."""
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"req_memory is {text!r}: write a number of megabytes, or one with K, M, G or T.")
    return max(1, round(int(found[1]) * _TO_MB[found[2].lower()]))


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
