"""When a job would start: Slurm's own test of a submission, and the smaller shape that would start at once.

`sbatch --test-only` asks the scheduler, which counts the jobs that wait before it, without submitting anything.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta

from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Free, Outlook, in_partition
from emkit_jobs.slurm.cluster import Slurm
from emkit_jobs.slurm.commands import CommandError, moment
from emkit_jobs.slurm.listing import YEAR_S

AT_ONCE_S = 60.0  # Slurm's plans are no finer
PATIENCE_S = 4.0  # of a page
MOST_TESTS = 3  # of smaller shapes
SHORTEST = timedelta(minutes=30)
_ROUND_MB = 256
_STARTS = re.compile(r"to start at (\S+) using")
# sbatch's words when Slurm, munge or sudo did not work; all others are an answer: the job would be refused
_SILENT = re.compile(
    r"contact slurm controller|timed out|zero bytes|connection|authenticat|munge|standby|did not answer|cannot be run"
    r"|configuration source|sudo:|too many|temporarily",
    re.I,
)
_TESTED = re.compile(r"^(sbatch: )?((error|allocation failure): )?(sbatch: error: )?", re.M)

Test = Callable[[Resources], "tuple[str, ...]"]


async def test(slurm: Slurm, command: tuple[str, ...]) -> float | str | None:
    """The start of such a job, POSIX seconds; a text: why it is refused; None: it has no start that Slurm can see.

    `command`: sbatch with its options. CommandError when Slurm does not answer.
    """
    try:
        _, told = await slurm.run_both(*command, text="#!/bin/bash\ntrue\n")
    except CommandError as error:
        if _SILENT.search(str(error)):
            raise
        return _TESTED.sub("", str(error)).strip()
    found = _STARTS.search(told)
    starts_at = moment(found[1]) if found else None
    return starts_at if starts_at is not None and starts_at < time.time() + YEAR_S else None


async def look(slurm: Slurm, command: Test, resources: Resources, movable: Collection[str]) -> Outlook:
    async def tested(shape: Resources) -> float | str | None:
        words = command(shape)
        shared = slurm.tests.of(words, lambda: test(slurm, words))
        answer = await shared.get(PATIENCE_S)
        return None if shared.silence else answer

    now = time.time()
    answer = await tested(resources)
    starts_at, refused = (None, answer) if isinstance(answer, str) else (answer, "")
    sooner = None
    if starts_at is not None and starts_at > now + AT_ONCE_S and movable:
        found = in_partition(await slurm.free.get(PATIENCE_S) or {}, resources.partition)
        for _, shape in zip(range(MOST_TESTS), smaller(resources, movable, found), strict=False):
            start = await tested(shape)
            if isinstance(start, float) and start <= now + AT_ONCE_S:
                sooner = shape
                break
    return Outlook(starts_at, now, refused, sooner)


def smaller(resources: Resources, movable: Collection[str], free: Free | None) -> Iterator[Resources]:
    """Shapes that might start at once, the one with the least change first."""
    rooms = free.rooms if free is not None else ()
    if any(room.holds(resources) for room in rooms):  # there is room, but it is planned for others: a shorter job may slip in
        if "runtime" in movable and resources.runtime is not None:
            for part in (2, 4, 8):
                if resources.runtime / part >= SHORTEST:
                    yield resources.model_copy(update={"runtime": resources.runtime / part})
        return
    numbers = {"cpus": resources.cpus or 1, "memory_mb": resources.memory_mb or 0, "gpus": resources.gpus}
    seen = set()
    for changed in (("cpus",), ("memory_mb",), ("gpus",), ("cpus", "memory_mb"), ("cpus", "memory_mb", "gpus")):
        if not set(changed) <= set(movable):
            continue
        shapes = []
        for room in rooms:
            given = {"cpus": room.cpus, "memory_mb": room.memory_mb // _ROUND_MB * _ROUND_MB, "gpus": room.gpus}
            update = {name: min(numbers[name], given[name]) for name in changed}
            shape = resources.model_copy(
                update={name: value for name, value in update.items() if value != getattr(resources, name)}
            )
            if room.holds(shape) and all(value > 0 or numbers[name] == 0 for name, value in update.items()):
                shapes.append(shape)
        if shapes:
            best = max(shapes, key=lambda shape: (shape.gpus, shape.cpus or 1, shape.memory_mb or 0))
            if best != resources and (key := best.model_dump_json()) not in seen:
                seen.add(key)
                yield best
