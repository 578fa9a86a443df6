"""To go on with a run, from what its folder says."""

import os
import sys
import time
from typing import Any

from emkit.errors import EmkitError, PathError
from emkit.progress import PERIOD_S, Cancelled, listening
from emkit.recipe import load
from emkit.run.drive import execute, move
from emkit.run.folder import RunFolder, State
from emkit.run.lock import is_held
from emkit.run.place import Place
from emkit.run.signals import ended_by_signals
from emkit.runs.following import FOLLOW, drive_follow
from emkit.runs.repairing import REPAIR, repair
from emkit.runs.workflows import WORKFLOW, drive_workflow

PATIENCE_S = 30.0  # for whoever submitted this job to write that down


def drive(folder: RunFolder, lock: int | None = None) -> Any:
    """Go on with a run, from what its folder says; what it returned."""
    kind = folder.facts().get("kind")
    if kind == WORKFLOW:
        return drive_workflow(folder, lock)
    if kind == FOLLOW:
        return drive_follow(folder, lock)
    (call,) = load(folder.recipe)
    if kind == REPAIR and call.out:
        return repair(call.out, folder=folder, lock=lock)
    return execute(call, overwrite=folder.facts()["overwrite"], folder=folder, lock=lock)


def place_anew(folder: RunFolder, on: Place) -> None:
    """A run that is to go on is to do so at another place; refused where it does not fit there."""
    if folder.facts().get("kind") in (WORKFLOW, FOLLOW):
        folder.note(on=str(on))
        return
    (call,) = load(folder.recipe)
    move(folder, call, on)


def main(folder: RunFolder, lock: int | None) -> int:
    """Drive a detached run: nobody listens, all is written down. Without a lock this is the run's own job, which takes it."""
    try:
        lock = _lock_of_job(folder) if lock is None else lock
    except PathError as refused:  # another drives it, and says its state
        print(refused, file=sys.stderr)
        return refused.exit_code
    try:
        with ended_by_signals() as asked, listening(stop=asked):
            drive(folder, lock)
    except Cancelled:
        return 130
    except EmkitError as refused:
        folder.say(State.FAILED, str(refused), exit_code=refused.exit_code)  # also what was refused before it began
        return refused.exit_code
    return 0


def _lock_of_job(folder: RunFolder) -> int:
    """The run's lock, for the job that this process is in; whoever submitted it may hold it a little longer."""
    mine = {"id": os.environ.get("SLURM_JOB_ID", ""), "slurm_conf": os.environ.get("SLURM_CONF", "")}
    last = time.monotonic() + PATIENCE_S
    while True:
        try:
            lock = folder.lock()
            folder.note(job=mine)
            return lock
        except PathError:
            if time.monotonic() > last:
                raise
            if not folder.facts().get("job") and not is_held(folder.path / "lock"):
                folder.note(job=mine)  # who submitted it died before it could
            time.sleep(PERIOD_S)
