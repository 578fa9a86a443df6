"""Who receives in a session: processes of this machine, or jobs of a profile. What is lost is replaced, and said."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from emkit_jobs.offered import Offer
from emkit_jobs.scheduler import SchedulerError, State

from emkit.errors import ResourceError
from emkit.run import jobs
from emkit.run.machine import cores
from emkit.run.place import Place
from emkit.run.room import offer_of
from emkit.stream.local import LocalStream

TRIES = 3  # of a receiver that never comes up, or is lost again and again
LATELY_S = 600.0
LOOK_S = 3.0  # between two questions to the scheduler, which is everybody's
LATER_S = 60.0  # a receiver that is idle ends by itself so long after the aggregator, in case nobody takes it back


@dataclass
class Losses:
    """Who is lost `most` times within ten minutes would be lost again."""

    most: int
    _at: deque[float] = field(default_factory=deque)

    def are_too_many(self) -> bool:
        """Count one more."""
        self._at.append(now := time.monotonic())
        while now - self._at[0] > LATELY_S:
            self._at.popleft()
        return len(self._at) > self.most


class Crew(Protocol):
    @property
    def wanted(self) -> int:
        """Receivers, when all are there."""
        ...

    def begin(self) -> None: ...

    def replace(self) -> Iterator[str]:
        """Replace who is gone, and tell. ResourceError where that has been tried too often."""
        ...

    def words(self) -> str:
        """Why they are not there yet; empty where nobody knows of a reason."""
        ...

    def end(self) -> None: ...


def crew_of(place: Place, stream: LocalStream, keys: Path, log: Path, dark: str | None) -> Crew:
    """Not begun yet; the aggregator's address must be known when it is."""
    if place.kind == "local":
        return LocalCrew(stream, place.count or max(1, cores() - 1))
    offer = offer_of(place)
    return JobCrew(stream, place.count or 1, offer, keys, log, dark)


@dataclass
class LocalCrew:
    stream: LocalStream
    count: int
    losses: Losses = field(init=False)
    _crew: dict[str, BaseProcess] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.losses = Losses(TRIES * self.count)

    @property
    def wanted(self) -> int:
        return self.count

    def begin(self) -> None:
        for k in range(self.count):
            self._crew[f"receiver-{k}"] = self.stream.begin_receiver(f"receiver-{k}")

    def replace(self) -> Iterator[str]:
        for name, process in self._crew.items():
            if process.exitcode is not None:
                if self.losses.are_too_many():
                    raise ResourceError(f"receivers end again and again, the last one with {process.exitcode}; the log says why.")
                self._crew[name] = self.stream.begin_receiver(name)
                yield f"{name} was lost ({process.exitcode}); another one has begun, and what it had not written comes again"

    def words(self) -> str:
        return ""

    def end(self) -> None:
        """They end with the stream's other processes."""


@dataclass
class JobCrew:
    """`count` jobs of a profile, each with a receiver for every core."""

    stream: LocalStream
    count: int
    offer: Offer
    keys: Path
    log: Path
    dark: str | None
    losses: Losses = field(init=False)
    _ids: list[str] = field(default_factory=list)
    _looked: float = float("-inf")
    _words: str = ""

    def __post_init__(self) -> None:
        self.losses = Losses(TRIES * self.count)

    @property
    def each(self) -> int:
        return self.offer.resources.cpus or 1

    @property
    def wanted(self) -> int:
        return self.count * self.each

    def begin(self) -> None:
        for _ in range(self.count):
            self._ids.append(self._submit())

    def replace(self) -> Iterator[str]:
        if time.monotonic() - self._looked < LOOK_S:
            return
        looks = [jobs.look(self._facts(job_id)) for job_id in self._ids]
        self._looked, self._words = time.monotonic(), "; ".join(found.words for found in looks)
        for k, found in enumerate(looks):
            if found.state is State.FINISHED:
                if self.losses.are_too_many():
                    raise ResourceError(f"no job of receivers stays up: {found.words}. What they said is in {self.log}")
                self._ids[k] = self._submit()
                yield f"{found.words}; job {self._ids[k]} takes its place, and what it had not written comes again"

    def words(self) -> str:
        return self._words

    def end(self) -> None:
        for job_id in self._ids:
            jobs.cancel(self._facts(job_id))

    def _facts(self, job_id: str) -> dict[str, str]:
        return {"id": job_id, "slurm_conf": self.offer.slurm_conf}

    def _submit(self) -> str:
        out = self.stream.folder
        command = [
            sys.executable, "-m", "emkit.cli", "stream", "receive", self.stream.address,
            "--out", str(out), "--keys", str(self.keys), "--processes", str(self.each),
            "--idle-s", str(self.stream.idle_s + LATER_S), *(["--dark", self.dark] if self.dark else []),
        ]  # fmt: skip
        try:
            return jobs.submit_command(f"emkit-receivers-{uuid4().hex[:8]}", command, out, self.log, self.offer)
        except SchedulerError as refused:
            raise ResourceError(f"Slurm refuses the job of the receivers: {refused}") from refused
