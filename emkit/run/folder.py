"""The folder of a run: what it is to do, how far it is, what came of it; for people and for later versions.

    recipe.toml     the call                       journal.jsonl   finished tasks, each with its result
    run.json        output, plan, host, versions   events.jsonl    progress, a line now and then
    state.json      the state and why              log             what a detached run printed
    lock            held while somebody drives it  cancel          there if somebody asked for the end
    result.json     what the step returned

A run is nobody's process: whoever holds the lock drives it, and anybody may look. Nothing in it names its own place, so
it may be moved.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from emkit.errors import EmkitError, PathError
from emkit.params import Call
from emkit.progress import Cancelled, Tick, listening
from emkit.provenance import recipe_text, sync, versions
from emkit.run import afar
from emkit.run.lock import is_held, take
from emkit.run.output import move
from emkit.run.place import LOCAL, Place
from emkit.run.plan import Plan

EVENT_S = 0.5  # between two lines about one stage
EVENTS_BYTES = 2_000_000  # of all lines: some hours of them
STAMP, STAMP_FORMAT, STAMP_LENGTH = re.compile(r"\d{8}T\d{6}\.\d{3}"), "%Y%m%dT%H%M%S.%f", 19  # to the millisecond
LONGEST_EVENT = 4096  # bytes
ENDINGS = ("done", "failed", "cancelled")


class State(StrEnum):
    QUEUED = "queued"  # as a job that waits
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # nobody drives it, and nobody has said why


def runs_home() -> Path:
    """The folder of runs: $EMKIT_RUNS_DIR, else emkit/runs in the user's state folder (XDG)."""
    if named := os.environ.get("EMKIT_RUNS_DIR"):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "emkit/runs"


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @classmethod
    def make(cls, call: Call, plan: Plan, *, overwrite: bool, home: Path | None = None) -> "RunFolder":
        """A new one for a call."""
        facts = {"step": call.function.__name__, "out": call.out and str(call.out.absolute()), "plan": asdict(plan)}
        return cls.new(recipe_text(call.absolute()), {**facts, "overwrite": overwrite}, home)

    @classmethod
    def new(cls, recipe: str, facts: dict[str, Any], home: Path | None = None) -> "RunFolder":
        """A new one, of this recipe and these facts (`step`, `out` and `plan` among them), in `home` or among my runs.

        Its name is never taken twice, and sorts behind those that are there, also when the clock was set back.
        """
        home = home or runs_home()
        try:
            home.mkdir(parents=True, exist_ok=True)
            name = f"{_stamp(os.listdir(home))}-{facts['step']}-{uuid4().hex[:6]}"
            (folder := cls(home / name)).path.mkdir()
            folder.recipe.write_text(recipe)
            folder._write("run.json", {**facts, "host": socket.gethostname(), "versions": versions()})
            folder.say(State.STARTING)
        except OSError as error:
            raise PathError(
                f"The run needs a folder in {home}, which cannot be made ({error.strerror}). "
                "Make room there, or name another place: EMKIT_RUNS_DIR=FOLDER"
            ) from error
        return folder

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def facts(self) -> dict[str, Any]:
        """Step, output, plan, host, versions."""
        found: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        return found

    @property
    def place(self) -> Place:
        """Where its tasks are to be done."""
        return Place.parse(named) if (named := self.facts().get("place")) else LOCAL

    def note(self, **more: Any) -> None:
        """Add to what `facts` tells."""
        self._write("run.json", {**self.facts(), **more})

    def said(self) -> dict[str, Any]:
        """The state as it was said last, with `message` and `at`; `interrupted` if who said it is gone."""
        found = self._last_said()
        if found["state"] in (*ENDINGS, State.INTERRUPTED) or is_held(self.path / "lock"):
            return found
        more = afar.seen(found, self.facts().get("job"), self.path / "lock")
        found = self._last_said()  # it may have come to its end while that was asked
        return found if found["state"] in (*ENDINGS, State.INTERRUPTED) else {**found, **more}

    def _last_said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "state.json").read_text())
        return found

    @property
    def state(self) -> State:
        return State(self.said()["state"])

    def say(self, state: State, message: str = "", **more: Any) -> None:
        """Write the state; whoever reads sees the old one or the new one, whole."""
        self._write("state.json", {"state": state, "message": message, "at": time.time(), "host": socket.gethostname(), **more})

    def _say_at_last(self, state: State, message: str, **more: Any) -> None:
        """As `say`, for who is about to raise: where not even that can be written, the run is one that was interrupted."""
        with suppress(OSError):
            self.say(state, message, **more)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Whoever reads, and who looks after a power cut, finds the old content or the new."""
        new = self.path / f"{name}.{os.getpid()}"
        try:
            new.write_text(json.dumps(content, indent=1))
            sync(new)
            move(new, self.path / name)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def ask_to_cancel(self) -> None:
        """The wish is written down; a job that waits is taken back, since nobody there could hear it."""
        (self.path / "cancel").touch()
        if self.state is State.QUEUED:
            from emkit.run import jobs

            if jobs.cancel(self.facts()["job"]) and self._last_said()["state"] == State.QUEUED:
                self.say(State.CANCELLED, "cancelled while its job waited")

    def cancel_asked(self) -> bool:
        return (self.path / "cancel").exists()

    def events(self, offset: int = 0) -> tuple[list[Tick], int]:
        """The progress that was told from this byte on, and where to go on reading; of a thinned file, what is new in it."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                offset = min(offset, file.seek(0, os.SEEK_END))
                file.seek(max(0, offset - 1))
                if offset and file.read(1) != b"\n":
                    offset += len(file.readline())
                text = file.read()
        except FileNotFoundError:
            return [], 0
        whole = text[: text.rfind(b"\n") + 1]
        return _ticks(whole), offset + len(whole)

    def stages(self) -> tuple[list[Tick], int]:
        """The newest progress of each stage, and where `events` goes on: of a long file only these lines are taken apart."""
        try:
            text = (self.path / "events.jsonl").read_bytes()
        except FileNotFoundError:
            return [], 0
        whole = text[: text.rfind(b"\n") + 1]
        newest = {line.partition(b', "done": ')[0]: line for line in whole.splitlines()}
        return list(_ticks(b"\n".join(newest.values()))), len(whole)

    def last_event(self) -> Tick | None:
        """The newest progress that was told, found from the end: as fast after 10⁵ lines as after one."""
        try:
            with (self.path / "events.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_EVENT))
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return None
        whole = [line for line in lines if line.endswith(b"\n")]
        return next(iter(_ticks(whole[-1])), None) if whole else None

    def lock(self) -> int:
        """A descriptor that holds the run's lock. PathError if somebody drives the run, here or elsewhere."""
        driven = f"Run {self.id} is driven already: emkit watch {self.id} shows it, emkit cancel {self.id} ends it."
        found = self.said()
        if found["state"] not in (*ENDINGS, State.INTERRUPTED) and not afar.is_mine(self.facts().get("job")):
            raise PathError(f"{driven} {found['message']}".rstrip())
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not take(descriptor):
            os.close(descriptor)
            raise PathError(driven)
        return descriptor

    @contextmanager
    def driven(self, descriptor: int | None = None) -> Iterator[None]:
        """Within: this process drives the run. Its progress and its end are written down, and the wish to cancel is heard."""
        if (held := descriptor) is None:
            held = self.lock()
            (self.path / "cancel").unlink(missing_ok=True)  # that was for who drove it before
        try:
            self.say(State.RUNNING, pid=os.getpid())
            with afar.beating(held), listening(_Scribe(self.path / "events.jsonl"), stop=self.cancel_asked):
                yield
            self.say(State.DONE)
        except (Cancelled, KeyboardInterrupt) as cancelled:
            if afar.is_mine(self.facts().get("job")) and not self.cancel_asked():
                self._say_at_last(State.INTERRUPTED, "its job was told to end: by its time limit, by scancel, or by the site")
            else:
                self._say_at_last(State.CANCELLED, str(cancelled))
            (self.path / "cancel").unlink(missing_ok=True)
            raise
        except EmkitError as refused:
            self._say_at_last(State.FAILED, str(refused), exit_code=refused.exit_code)
            raise
        except Exception as error:
            self._say_at_last(State.FAILED, f"{type(error).__name__}: {error}", exit_code=1)
            raise
        finally:
            os.close(held)


def _stamp(names: list[str]) -> str:
    """The time, or just after the last of these names if the clock is behind it."""
    stamps = (name.partition("-")[0] for name in names)
    newest = max((stamp for stamp in stamps if STAMP.fullmatch(stamp)), default="")
    now = datetime.now(UTC)
    if newest and newest >= f"{now:{STAMP_FORMAT}}"[:STAMP_LENGTH]:
        now = datetime.strptime(newest, STAMP_FORMAT) + timedelta(milliseconds=1)
    return f"{now:{STAMP_FORMAT}}"[:STAMP_LENGTH]


def _ticks(text: bytes) -> list[Tick]:
    """Of all whole lines."""
    return [Tick(**json.loads(line)) for line in text.splitlines() if line.startswith(b"{") and line.endswith(b"}")]


class _Scribe:
    """Writes ticks as lines, not more often than every EVENT_S but for the first and the last of a stage.

    A file of EVENTS_BYTES is thinned: every second line goes, but for the ends of stages; so it never grows beyond.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.what, self.written_s = path, "", 0.0
        with path.open("ab") as file:
            if file.tell() and not path.read_bytes().endswith(b"\n"):  # a kill cut the line of who drove it before
                file.write(b"\n")

    def __call__(self, tick: Tick) -> None:
        now = time.monotonic()
        if tick.what != self.what or tick.done == tick.total or now - self.written_s >= EVENT_S:
            self.what, self.written_s = tick.what, now
            with self.path.open("ab") as file:
                file.write(json.dumps(asdict(tick)).encode() + b"\n")
                size = file.tell()
            if size > EVENTS_BYTES:
                self._thin()

    def _thin(self) -> None:
        kept = [tick for k, tick in enumerate(_ticks(self.path.read_bytes())) if k % 2 or tick.done == tick.total]
        new = self.path.with_suffix(".new")
        new.write_text("".join(json.dumps(asdict(tick)) + "\n" for tick in kept))
        new.replace(self.path)
