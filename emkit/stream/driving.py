"""The process that drives a streaming session: `python -m emkit.stream.driving FOLDER LOCK`."""

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from emkit.errors import EmkitError, ParameterError, ResourceError
from emkit.run import afar, jobs
from emkit.run.place import Place
from emkit.run.room import offer_of
from emkit.run.signals import ended_by_signals
from emkit.stream.crews import Crew, Losses, crew_of
from emkit.stream.finalising import finalise_left, newest_report
from emkit.stream.local import WATCHER, LocalStream
from emkit.stream.session import Said, Session, State, Wishes
from emkit.stream.viewing import Watcher, watching

LOOK_S = 0.5  # between two looks
NEWS = 5  # lines that are kept
TRIES = 5  # of the aggregator and of the finaliser


@dataclass
class Driver:
    session: Session
    wishes: Wishes
    stream: LocalStream
    crew: Crew
    said: Said
    began: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)
    losses: Losses = field(default_factory=lambda: Losses(TRIES))  # of the aggregator and of the finaliser

    @classmethod
    def of(cls, session: Session) -> "Driver":
        wishes = session.wishes
        place = Place.parse(wishes.place)
        dark = np.load(wishes.dark, allow_pickle=False) if wishes.dark else None
        listen = _numbered(wishes.listen) if wishes.listen else _listen(place)
        stream = LocalStream(session.out, wishes.how, dark, session.security(), wishes.silent_s, wishes.idle_s, listen)
        crew = crew_of(place, stream, session.keys, session.log, wishes.dark)
        said = Said(state="starting", place=wishes.place, wanted=crew.wanted, host=socket.gethostname())
        return cls(session, wishes, stream, crew, said)

    def run(self) -> None:
        """Until it is idle, or asked to end."""
        try:
            with ended_by_signals() as told_to_end:
                self._drive(lambda: told_to_end() or (self.session.folder / "stop").exists())
        except (EmkitError, OSError) as refused:
            self._end("failed", str(refused))
            raise

    def _drive(self, asked: Callable[[], bool]) -> None:
        aggregator, finaliser = self.stream.begin_aggregator(), self.stream.begin_finaliser()
        self.say(address=self.stream.address, message="receivers are asked for")
        self.crew.begin()
        with watching(self.stream.address, self.session.security(WATCHER)) as watcher:
            while not asked():
                if aggregator.exitcode == 0:
                    self._end("ended", f"no scan came for {self.wishes.idle_s:g} s")
                    return
                aggregator = self._mended(aggregator, "aggregator", self.stream.begin_aggregator)
                finaliser = self._mended(finaliser, "finaliser", self.stream.begin_finaliser)
                if self.said.receivers < self.crew.wanted:
                    for news in self.crew.replace():
                        self.tell(news)
                self._look(watcher)
                wait([process.sentinel for process in self.stream.processes if process.is_alive()], LOOK_S)
        self._end("ended", "it was asked to end")

    def _mended(self, process: BaseProcess, what: str, begin: Callable[[], BaseProcess]) -> BaseProcess:
        """The process, or another one in its place if it is gone."""
        if process.exitcode is None:
            return process
        if self.losses.are_too_many():
            raise ResourceError(f"the {what} ends again and again, the last time with {process.exitcode}; the log says why.")
        self.tell(f"the {what} was lost ({process.exitcode}); another one has begun")
        return begin()

    def _look(self, watcher: Watcher) -> None:
        live = watcher.look(patience_s=LOOK_S)
        if live is None or not live.told.receivers:
            self.say(state="waiting", receivers=0, message=self.crew.words() or "receivers have not connected yet")
            return
        self.say(
            state="ready",
            receivers=live.told.receivers,
            ready_s=self.said.ready_s or time.monotonic() - self.began,
            message="" if live.told.receivers >= self.crew.wanted else self.crew.words(),
            live=str(live) if live.told.scan and not live.told.over else "",
            report=self._report() if live.told.over else self.said.report,
        )

    def _report(self) -> str:
        return str(newest_report(self.session.out, self.began_at) or "")

    def tell(self, news: str) -> None:
        """What was lost: into the log, and beside the state."""
        print(news, file=sys.stderr, flush=True)
        self.say(news=(*self.said.news, f"{datetime.now():%H:%M:%S} {news}")[-NEWS:])

    def say(self, **changed: object) -> None:
        living = {process.name: process.pid for process in self.stream.processes if process.is_alive()}
        self.said = self.said.model_copy(update={**changed, "processes": {"driver": os.getpid(), **living}, "at": time.time()})
        self.session.say(self.said)

    def _end(self, state: State, message: str) -> None:
        """Take back jobs, end processes, and join what is left of a scan that was under way."""
        self.crew.end()
        self.stream.close()
        left = [str(report) for report in finalise_left(self.session.out)]
        self.say(state=state, message=message, receivers=0, live="", report="\n".join(left) or self._report())


def _listen(place: Place) -> str:
    """The address of this machine that receivers reach: of a job's node as Slurm knows it, else of its name."""
    if place.kind == "local":
        return "tcp://127.0.0.1:0"
    host = jobs.own_address(offer_of(place).slurm_conf) or socket.gethostname()
    return f"tcp://{_number(host)}:0"


def _number(host: str) -> str:
    """A socket listens on numbers, not on names. ParameterError where the name is unknown."""
    try:
        return socket.gethostbyname(host)
    except OSError as wrong:
        raise ParameterError(f"listen: the host {host} is unknown here ({wrong}). Name another address: tcp://HOST:PORT") from None


def _numbered(address: str) -> str:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return f"tcp://{_number(host)}:{port}"


def main(out: str, lock: str) -> None:
    session = Session(Path(out))
    with afar.beating(int(lock)):
        try:
            driver = Driver.of(session)
        except (EmkitError, OSError, ValueError) as refused:
            session.say(Said(state="failed", message=str(refused), host=socket.gethostname(), at=time.time()))
            raise
        driver.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
