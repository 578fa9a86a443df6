"""A run as a form follows it, whoever drives it: this kernel, or a process of the run's own that outlives the kernel.

Both kinds tell where they are to a listener, are ended by `cancel`, and return what the step returned, or raise what ended
them. A form that is opened again finds the run that writes its output, or wrote what stands there, and follows it.
"""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from emkit.errors import EmkitError
from emkit.params import Call
from emkit.progress import Listener, listening
from emkit.recipe import load
from emkit.run.detached import check_done, detach, watch
from emkit.run.drive import begin, execute, returned
from emkit.run.folder import ENDINGS, RunFolder, State
from emkit.run.output import note_of
from emkit.run.place import Place
from emkit.runs import find_run, place_anew
from emkit.steps import STEPS

RESUMABLE = (State.CANCELLED, State.FAILED, State.INTERRUPTED)
DASHBOARD_VARIABLE = "VOILA_KERNEL_ID"  # Voila sets it in the kernel of a dashboard


class Followed(Protocol):
    """A run that can be followed to its end."""

    call: Call

    @property
    def took_s(self) -> float:
        """Seconds of work, once it is done."""

    def follow(self, hear: Listener) -> Any:
        """Wait for the end; what the step returned. Raises what ended the run: an EmkitError, `Cancelled`, a fault."""

    def cancel(self) -> None:
        """Ask for the end, which comes within two seconds."""


@dataclass
class Here:
    """A run that this kernel drives, and that ends with it; with a folder it goes on with that run."""

    call: Call
    overwrite: bool
    on: Place | None = None
    folder: RunFolder | None = None
    asked: threading.Event = field(default_factory=threading.Event)
    began_s: float = field(default_factory=time.monotonic)

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.began_s

    def follow(self, hear: Listener) -> Any:
        with listening(hear, stop=self.asked.is_set):
            return execute(self.call, overwrite=self.overwrite, on=self.on, folder=self.folder)

    def cancel(self) -> None:
        self.asked.set()


@dataclass
class Attached:
    """A run that somebody else drives; nothing happens to it when nobody follows any more."""

    call: Call
    folder: RunFolder

    @property
    def was_kept(self) -> bool:
        """Whether it was left to itself before: then it is to be so again."""
        return self.folder.log.exists()

    @property
    def took_s(self) -> float:
        return float(self.folder.facts()["used"]["seconds"])

    def follow(self, hear: Listener) -> Any:
        for tick in watch(self.folder):
            hear(tick)
        check_done(self.folder)
        return returned(self.call, self.folder)

    def cancel(self) -> None:
        self.folder.ask_to_cancel()

    def here(self) -> Here:
        """The same run, gone on with by this kernel."""
        return Here(self.call, self.folder.facts()["overwrite"], folder=self.folder)


def may_be_kept(step: str) -> bool:
    """Whether a run of this step can outlive its kernel: the step has a name that another process knows, and the person a home.

    Guests of a dashboard share one account, and nothing of theirs may stay behind.
    """
    return step in STEPS and DASHBOARD_VARIABLE not in os.environ


def keep_running(call: Call, *, overwrite: bool, on: Place | None) -> Attached:
    """Begin the call, or go on with what is left of the same one, without this kernel. Raises what refuses the run."""
    left = run_of(call)
    if left and left.folder.state in RESUMABLE and not differences(call, left.call):
        return resumed(left, on)
    detach(folder := begin(call, overwrite=overwrite, on=on))
    return Attached(call, folder)


def resumed(left: Attached, on: Place | None) -> Attached:
    """The same run, gone on with without this kernel, at another place where one is named."""
    if on is not None:
        place_anew(left.folder, on)
    detach(left.folder)
    return left


def run_of(call: Call) -> Attached | None:
    """The last run of this step onto this output; None where there was none, or that of another step."""
    if call.out is None or call.function.__name__ not in STEPS:
        return None
    try:
        folder = find_run(str(call.out.absolute()))
        if folder.facts()["step"] != call.function.__name__:
            return None
        (made,) = load(folder.recipe)
    except EmkitError:  # its folder was removed, or holds a recipe of another version
        return None
    return Attached(made, folder)


def shows(out: Path) -> bool:
    """Whether there is something of a run at this output: cheap, for every letter that is typed."""
    return out.exists() or note_of(out).exists()


def differences(call: Call, other: Call) -> list[str]:
    """The arguments in which two calls of a step differ, in words: as in the first, then as in the other."""
    ours, theirs = call.absolute().as_json(), other.absolute().as_json()
    names = [name for name in call.values if ours.get(name) != theirs.get(name)]
    return [f"{name} {_brief(theirs.get(name))}, here {_brief(ours.get(name))}" for name in names]


def is_running(folder: RunFolder) -> bool:
    """Whether somebody drives the run now."""
    return folder.state not in (*ENDINGS, State.INTERRUPTED)


def _brief(value: Any) -> str:
    return "none" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)
