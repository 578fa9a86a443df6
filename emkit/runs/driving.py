"""To go on with a run, from what its folder says."""

from typing import Any

from emkit.errors import EmkitError
from emkit.progress import Cancelled, listening
from emkit.recipe import load
from emkit.run.drive import execute
from emkit.run.folder import RunFolder, State
from emkit.run.signals import ended_by_signals
from emkit.runs.workflows import WORKFLOW, drive_workflow


def drive(folder: RunFolder, lock: int | None = None) -> Any:
    """Go on with a run, from what its folder says; what it returned."""
    if folder.facts().get("kind") == WORKFLOW:
        return drive_workflow(folder, lock)
    (call,) = load(folder.recipe)
    return execute(call, overwrite=folder.facts()["overwrite"], folder=folder, lock=lock)


def main(folder: RunFolder, lock: int) -> int:
    """Drive a detached run: nobody listens, all is written down."""
    try:
        with ended_by_signals() as asked, listening(stop=asked):
            drive(folder, lock)
    except Cancelled:
        return 130
    except EmkitError as refused:
        folder.say(State.FAILED, str(refused), exit_code=refused.exit_code)  # also what was refused before it began
        return refused.exit_code
    return 0
