"""Runs that count scans: how far each is. It is found by the note beside its unfinished output, or as one begun here."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emkit.catalogue.jail import relative_to
from emkit.catalogue.store import Store
from emkit.catalogue.things import COUNTED_NAME
from emkit.provenance import RESULT
from emkit.run.folder import RunFolder, State, runs_home
from emkit.run.lock import is_held
from emkit.runs.glance import Glance

COUNT = "count_scan"
BROKEN = (OSError, ValueError, KeyError, TypeError)  # what the folder of a run raises that goes away, or is of another version


@dataclass(frozen=True)
class Progress:
    """Whether the run goes on; in words and as a part how far it is, or why it ended."""

    active: bool
    told: str
    done: float | None = None
    run: str = ""


def progress_of_all(root: Path, notes: Mapping[str, Path], store: Store) -> dict[str, Progress]:
    """Of each scan that is being counted, or was not counted to the end, by its name."""
    found = {scan: progress for scan, folder in store.runs().items() if (progress := _begun_here(root, scan, folder, store))}
    for out, note in notes.items():
        if told := _noted(root, out, note):
            scan, progress = told
            if progress.active or scan not in found:
                found[scan] = progress
    return found


def _begun_here(root: Path, scan: str, folder: Path, store: Store) -> Progress | None:
    """A run of one scan or of several, of which this one waits, or has failed; what is done is told by its output."""
    run = RunFolder(folder)
    try:
        said = run.said()
    except BROKEN:
        store.forget_run(scan)
        return None
    if said["state"] in (State.QUEUED, State.STARTING, State.RUNNING):
        waits = said["message"] if said["state"] == State.QUEUED else "waits for its turn"
        return Progress(True, waits or "waits for its turn", 0.0, run.id) if not (root / f"{scan}{COUNTED_NAME}").exists() else None
    if said["state"] == State.DONE:
        store.forget_run(scan)
        return None
    why = _why(run, root / f"{scan}{COUNTED_NAME}") or str(said["message"]).partition("\n")[0] or str(said["state"])
    return Progress(False, f"not counted: {why}", run=run.id)


def _why(run: RunFolder, out: Path) -> str:
    """What is said of this output in the report of a run of several."""
    try:
        parts = json.loads((run.path / RESULT).read_text())
        return next((str(one["error"]) for one in parts if one["out"] == str(out) and one["error"]), "")
    except BROKEN:
        return ""


def _noted(root: Path, out: str, note: Path) -> tuple[str, Progress] | None:
    """The scan, and how far; None for a run that counts nothing."""
    scan, held = out.removesuffix(COUNTED_NAME), is_held(note)
    try:
        folder = Path(note.read_text())
        if folder.is_relative_to(runs_home()):  # that of another account may not be read, nor trusted
            run = RunFolder(folder)
            if run.facts()["step"] != COUNT:
                return None
            source = Path(tomllib.loads(run.recipe.read_text())["arguments"]["source"])
            return (relative_to(root, source) if source.is_relative_to(root) else scan), _of_run(run)
    except BROKEN:
        pass  # it has just ended, or its folder was removed: the note alone tells
    if not out.endswith(COUNTED_NAME) or not (root / scan).is_dir():
        return None
    return scan, Progress(True, "counted by somebody else") if held else Progress(False, "counting was cut off; count it again")


def _of_run(run: RunFolder) -> Progress:
    """By the id of the whole that it may be a part of: that is what can be cancelled and resumed."""
    glance, whole = Glance.at(run), run.path.relative_to(runs_home()).parts[0]
    if glance.ended:
        return Progress(False, f"counting was {glance.state}; go on with it: emkit resume {whole}", run=whole)
    tick = glance.tick
    return Progress(True, str(tick or glance.message or "starting"), tick.fraction if tick else None, whole)
