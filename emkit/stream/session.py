"""A streaming session: an aggregator and a finaliser here, receivers here or as jobs, until nobody has streamed for a while.

It belongs to the folder that its scans are written to, and goes on without whoever started it. Below that folder:

    .session/wishes.json  what was asked for          .session/state.json  how it stands, written anew every second
    .session/keys/        Curve keys, mode 0600       .session/log         what its processes and jobs say
    .session/lock         held while it is driven     .session/stop        there if somebody asked for the end

Its aggregator alone listens, on this machine; receivers and senders connect to it, with keys that they read from files.
"""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from annotated_types import Gt
from emkit_jobs.scheduler import JOB_VARIABLE
from pydantic import AllowInfNan, ValidationError

from emkit.errors import ParameterError, PathError
from emkit.run.lock import is_held, take
from emkit.run.place import Place
from emkit.run.room import offer_of, places
from emkit.stream.finalising import StreamReport, finalise_left
from emkit.stream.keys import SERVER, Security, make_keys
from emkit.stream.local import FINALISER, RECEIVER, SENDER, WATCHER
from emkit.stream.messages import How
from emkit.stream.plan import Record
from emkit.stream.routing import SILENT_S

R = TypeVar("R", bound=Record)
IDLE_S = 1800.0
SILENT_DRIVER_S = 60.0  # clocks of two machines may differ
ADDRESS = re.compile(r"tcp://(?!0\.0\.0\.0:)[A-Za-z0-9_.-]+:\d{1,5}")
REALTIME = "realtime"  # a profile of this name is a site's queue for instruments
State = Literal["none", "starting", "waiting", "ready", "ended", "failed", "interrupted"]
LIVING = ("starting", "waiting", "ready")


class Wishes(Record):
    """What a session is to be. `listen`: tcp://HOST:PORT of the aggregator, HOST as receivers and senders reach it; empty: found
    out, with a free port. `idle_s`: it ends when so long no scan came. `dark`: a .npy file."""

    how: How
    place: str = "local"
    listen: str = ""
    idle_s: Annotated[float, Gt(0), AllowInfNan(True)] = IDLE_S
    silent_s: Annotated[float, Gt(0)] = SILENT_S
    dark: str | None = None


class Said(Record):
    """How a session stands. `receivers` are those that the aggregator knows, `wanted` all; `ready_s`: how long the start took;
    `live`: how far the newest scan is; `report`: of the last one that is over; `news`: what was lost and replaced."""

    state: State = "none"
    message: str = ""
    address: str = ""
    place: str = ""
    receivers: int = 0
    wanted: int = 0
    live: str = ""
    ready_s: float | None = None
    news: tuple[str, ...] = ()
    report: str = ""
    processes: dict[str, int] = {}  # of this machine: the number of each
    host: str = ""
    at: float = 0.0

    def __str__(self) -> str:
        crew = f", {self.receivers} of {self.wanted} receivers, {self.place}" if self.wanted else ""
        ready = f", ready after {self.ready_s:.0f} s" if self.ready_s is not None else ""
        lines = [f"{self.state}{crew}{ready}", self.message, self.live, self.report, *self.news]
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Session:
    """The session of a folder of scans, whether there is one or not."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out / ".session"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def wishes(self) -> Wishes:
        return _read(Wishes, self.folder / "wishes.json")

    def security(self, name: str = WATCHER) -> Security:
        return Security(self.keys, name)

    def said(self) -> Said:
        """How it stands; `interrupted` where whoever drove it is gone and said nothing."""
        if not (self.folder / "state.json").exists():
            return Said()
        said = _read(Said, self.folder / "state.json")
        if said.state not in LIVING or is_held(self.lock):
            return said
        if said.host == socket.gethostname():
            said = _read(Said, self.folder / "state.json")  # it may have come to its end meanwhile
            gone = said.model_copy(update={"state": "interrupted", "message": f"its process is gone; see {self.log}"})
            return gone if said.state in LIVING else said
        if (silent_s := time.time() - self.lock.stat().st_mtime) < SILENT_DRIVER_S:
            return said
        return said.model_copy(update={"message": f"no sign of life from {said.host} for {silent_s:.0f} s"})

    def say(self, said: Said) -> None:
        _write(self.folder / "state.json", said)

    def ask_to_stop(self) -> None:
        """PathError where there is no session."""
        if self.said().state not in LIVING:
            raise PathError(f"{self.out} has no streaming session that runs. Start one: emkit stream start {self.out} …")
        (self.folder / "stop").touch()

    def join_left(self) -> list[StreamReport]:
        """Join what a session that is gone has left of scans that were under way; their reports. PathError while one runs."""
        if self.said().state in LIVING:
            raise PathError(f"{self.out} has a streaming session that runs; it joins its scans itself.")
        return finalise_left(self.out)


def start_session(out: Path, wishes: Wishes) -> Session:
    """Start a session that goes on by itself; it says `ready` when a receiver is there. Refused at once: a place that is none, a
    folder that cannot be written, or that has a session."""
    place = Place.parse(wishes.place)
    if place.kind not in ("local", "slurm"):
        raise ParameterError(f"on: found {wishes.place!r}, needed local, local:N, slurm:PROFILE or slurm:PROFILE:N for receivers.")
    if place.kind == "slurm":
        offer_of(place)
    if wishes.listen and not ADDRESS.fullmatch(wishes.listen):
        raise ParameterError(f"listen: found {wishes.listen!r}; needed: tcp://HOST:PORT, HOST as receivers and senders reach it.")
    session = Session(out.absolute())
    try:
        session.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(session.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise PathError(f"{session.folder} cannot be written ({wrong.strerror}); needed: a folder for scans.") from None
    try:
        if session.said().state in LIVING or not take(lock):
            raise PathError(f"{out} has a streaming session already. Look: emkit stream status {out}; end: emkit stream stop {out}")
        (session.folder / "stop").unlink(missing_ok=True)
        names = [name for name in (SENDER, RECEIVER, FINALISER, WATCHER) if not (session.keys / f"{name}.secret").exists()]
        if names or not (session.keys / f"{SERVER}.secret").exists():
            make_keys(session.keys, names)
        _write(session.folder / "wishes.json", wishes)
        session.say(
            Said(state="starting", message="its processes begin", place=wishes.place, host=socket.gethostname(), at=time.time())
        )
        _drive(session, lock)
    finally:
        os.close(lock)
    return session


def default_place() -> str:
    """Where receivers go if nobody says: a site's profile `realtime`, if it has one, else here."""
    return next((name for name in places() if name == f"slurm:{REALTIME}"), "local")


def _drive(session: Session, lock: int) -> None:
    """In a process of its own, which holds the lock from its first moment on."""
    environment = {name: value for name, value in os.environ.items() if name != JOB_VARIABLE}  # a job's end takes along its own
    with os.fdopen(os.open(session.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "emkit.stream.driving", str(session.out), str(lock)],
            pass_fds=[lock], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", env=environment,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay behind as a zombie of ours


def _write(path: Path, record: Record) -> None:
    """Whoever reads finds the old content or the new."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(record.model_dump_json(indent=1), encoding="utf-8")
    new.replace(path)


def _read(kind: type[R], path: Path) -> R:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as wrong:
        raise PathError(f"{path} does not tell of a streaming session ({wrong}). Remove {path.parent} and start anew.") from None
