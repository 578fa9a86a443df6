"""When a job would start, and the smaller or shorter one that would start at once.

`sbatch --test-only` submits nothing, and tells when the running jobs leave room. To that it adds, for jobs that wait in the same
partition, all their work divided by the partition's size, so it never sees a gap. We do, by the rule that Slurm starts jobs by
(backfill): there is room on a node now, and the job ends before the first waiting job is planned to start there.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from emkit_jobs.efficiency import span
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Free, Outlook, Room, in_partition
from emkit_jobs.slurm.cluster import Slurm
from emkit_jobs.slurm.commands import CommandError, moment
from emkit_jobs.slurm.listing import YEAR_S

AT_ONCE_S = 60.0  # Slurm's plans are no finer
PATIENCE_S = 4.0  # of a page
MOST_TESTS = 4  # of smaller shapes
ROUND_MB = 256
STEPS = (timedelta(hours=1), timedelta(minutes=15))  # shorter times are whole numbers of the first that is under half of them
# Fields that may become smaller together, the smallest change first
CHANGES = (
    ("runtime",), ("cpus",), ("memory_mb",), ("gpus",), ("cpus", "memory_mb"), ("cpus", "runtime"), ("memory_mb", "runtime"),
    ("gpus", "runtime"), ("cpus", "memory_mb", "runtime"), ("cpus", "memory_mb", "gpus"),
)  # fmt: skip
_STARTS = re.compile(r"to start at (\S+) using")
# sbatch's words when Slurm, munge or sudo did not work; all others are an answer: the job would be refused
_SILENT = re.compile(
    r"contact slurm controller|timed out|zero bytes|connection|authenticat|munge|standby|did not answer|cannot be run"
    r"|configuration source|process configuration|sudo:|temporarily",
    re.I,
)
_BEFORE_WORDS = re.compile(r"^(sbatch: )?((error|allocation failure): )?(sbatch: error: )?", re.M)

Command = Callable[[Resources], "tuple[str, ...]"]
Answer = float | str | None


async def test(slurm: Slurm, command: tuple[str, ...]) -> Answer:
    """The start of such a job, POSIX seconds; a text: why it is refused; None: it has no start that Slurm can see.

    `command`: sbatch with its options. CommandError when Slurm does not answer.
    """
    try:
        async with slurm.testing:
            _, told = await slurm.run_both(*command, text="#!/bin/bash\ntrue\n")
    except CommandError as error:
        if _SILENT.search(str(error)):
            raise
        return ". ".join(_BEFORE_WORDS.sub("", str(error)).strip().splitlines())
    found = _STARTS.search(told)
    starts_at = moment(found[1]) if found else None
    return starts_at if starts_at is not None and starts_at < time.time() + YEAR_S else None


async def look(slurm: Slurm, command: Command, resources: Resources, movable: Collection[str]) -> Outlook:
    """The outlook for a job; `command` makes sbatch's words for a shape, `movable` names the fields that may be smaller."""

    async def tested(shape: Resources) -> Answer:
        words = command(shape)
        shared = slurm.tests.of(words, lambda: test(slurm, words))
        answer = await shared.get(PATIENCE_S)
        return None if shared.silence else answer

    now = time.time()
    answer = await tested(resources)
    if isinstance(answer, str):
        return Outlook(None, now, refused=answer)
    free, listing = in_partition(await slurm.free.get(PATIENCE_S) or {}, resources.partition), await slurm.jobs.get(PATIENCE_S)
    if free is not None:  # the test sees neither that a partition is closed nor its longest time
        if not free.nodes_up:
            return Outlook(None, now)
        if free.longest_s is not None and _number(resources.runtime) > free.longest_s:
            return Outlook(None, now, refused=f"partition {free.partition} gives a job at most {span(free.longest_s)}")
    if answer is None or answer <= now + AT_ONCE_S or free is None or listing is None:
        return Outlook(answer, now)
    gaps = Gaps(free, listing.planned, now) if listing.has_line(free.partition) else None
    if gaps is not None and gaps.take(resources):
        return Outlook(now, now)
    shapes = smaller(resources, movable, free, listing.planned, now)
    for shape in islice((shape for shape in shapes if gaps is None or gaps.take(shape)), MOST_TESTS):
        start = await tested(shape)
        if isinstance(start, float) and (gaps is not None or start <= now + AT_ONCE_S):
            return Outlook(answer, now, sooner=shape)
    return Outlook(answer, now)


@dataclass(frozen=True)
class Gaps:
    """What is free in a partition in which jobs wait; `planned`: node → when Slurm plans to start the first of them there."""

    free: Free
    planned: Mapping[str, float]
    now: float

    def take(self, resources: Resources) -> bool:
        """Whether such a job would delay nobody."""
        runtime_s = self.free.runtime_s if resources.runtime is None else resources.runtime.total_seconds()
        ends_at = float("inf") if runtime_s is None else self.now + runtime_s
        return any(room.holds(resources) and ends_at <= self.planned.get(room.node, float("inf")) for room in self.free.rooms)


def smaller(
    resources: Resources, movable: Collection[str], free: Free, planned: Mapping[str, float], now: float
) -> Iterator[Resources]:
    """Shapes for which there is room now: the best for each choice of fields to change, the smallest change first."""
    for changed in CHANGES:
        if not set(changed) <= set(movable):
            continue
        shapes = []
        for room in free.rooms:
            values = _within(room, planned.get(room.node, float("inf")) - now)
            update = {name: values[name] for name in changed if 0 < _number(values[name]) < _number(getattr(resources, name))}
            shape = resources.model_copy(update=update)
            if len(update) == len(changed) and room.holds(shape):
                shapes.append(shape)
        if shapes:
            yield max(shapes, key=_worth)


def _within(room: Room, span_s: float) -> dict[str, int | timedelta]:
    """What a job may have at most in a room that is free for `span_s`."""
    longest = timedelta(seconds=min(span_s, YEAR_S))
    step = next((step for step in STEPS if step < longest / 2), STEPS[-1])
    memory_mb = room.memory_mb // ROUND_MB * ROUND_MB
    return {"cpus": room.cpus, "memory_mb": memory_mb, "gpus": room.gpus, "runtime": longest // step * step}


def _worth(resources: Resources) -> list[float]:
    return [_number(value) for value in (resources.gpus, resources.cpus, resources.memory_mb, resources.runtime)]


def _number(value: object) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(str(value or 0))
