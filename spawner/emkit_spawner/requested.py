"""What a site's configuration for batchspawner means here: `req_*` texts, job scripts, the wrapper's command."""

import re
import shlex
import sys
from pathlib import PurePath

from emkit_jobs.profiles import Resources, runtime

_MEMORY = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_OLD_FIELD = re.compile(r"\{(\w+)\}")
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


def template(text: str) -> str:
    """A job script as a Jinja template. batchspawner takes one without any {{ or {% for Python's older {name}.

    >>> template("#SBATCH --partition={partition}")
    '#SBATCH --partition={{ partition }}'
    """
    return text if "{{" in text or "{%" in text else _OLD_FIELD.sub(r"{{ \1 }}", text)


def wrapper(command: str) -> str:
    """The command before the server's own. batchspawner's program reports to a route that is gone: ours, of the same environment.

    >>> wrapper("/opt/lab/bin/batchspawner-singleuser")
    '/opt/lab/bin/python -m emkit_spawner.singleuser'
    """
    *before, program = shlex.split(command) or [""]
    path = PurePath(program)
    if path.name != "batchspawner-singleuser":
        return command
    python = str(path.with_name("python")) if path.parent.name else sys.executable
    return shlex.join([*before, python, "-m", "emkit_spawner.singleuser"])
