"""One attempt at a run: its output is claimed, its folder found or made and locked, what an earlier attempt left is taken up.

What comes of it is put in its place by `Attempt.finish`, at the very end: until then nothing takes half an output for a whole one.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from emkit.errors import DamagedError, PathError
from emkit.params import Call, Reads
from emkit.provenance import RESULT, TASKS, Run, fingerprint, recipe_text, versions, write_record
from emkit.run.disk import refusing_full_disks
from emkit.run.earlier import NOTHING, earlier_of
from emkit.run.folder import RunFolder, State
from emkit.run.mending import Mending
from emkit.run.output import Claim, claimed, note_of, place, remove, seal, settle, unfinished
from emkit.run.plan import Plan
from emkit.run.stage import Journal


@dataclass(frozen=True)
class Attempt:
    """What this process may write while it drives: a run's folder, its journal, and the unfinished output where there is one."""

    call: Call
    folder: RunFolder
    journal: Journal
    claim: Claim | None
    mending: Mending | None

    @property
    def built(self) -> Path | None:
        """Where the output is built."""
        return unfinished(self.call.out) if self.call.out else None

    def finish(self, told: bytes, run: Run) -> None:
        """Write the result and the record; the output takes its place."""
        (self.folder.path / RESULT).write_bytes(told)
        if not (self.call.out and self.built and self.claim):
            write_record(self.call, self.folder.path, self.folder.path, run, told, only=(RESULT,))
            return
        known = self.journal.digests()
        if self.built.is_dir():
            (self.built / TASKS).write_text(self.journal.lines())
        if self.mending:
            self._mend(self.mending, self.built, self.claim)
        if not self.mending or not self.mending.record:
            write_record(self.call, self.call.out, self.built, run, told, known=known)
        if self.mending:
            self.mending.finish(self.built, told)
        settle(self.built, known.keys())
        if not self.mending:  # what is mended has the record of what it takes the place of: that would tell nothing
            self.folder.note(seal=seal(self.built))
        place(self.call.out)

    def _mend(self, mending: Mending, built: Path, claim: Claim) -> None:
        """Raises `DamagedError`, and leaves nothing behind, if what was built may not take the place of what it was to mend."""
        try:
            mending.check(built, self.journal.digests())
        except DamagedError:
            remove(built)
            claim.begun = False
            raise


@contextmanager
def attempt(
    call: Call,
    planned: Plan,
    *,
    folder: RunFolder | None,
    lock: int | None,
    overwrite: bool,
    home: Path | None,
    mending: Mending | None,
) -> Iterator[Attempt]:
    """Within: this process drives the run. Without a `folder` the run that was cut off here goes on, or a new one begins.

    `lock` is a descriptor that holds the folder's lock already. PathError while another run writes the same output.
    """
    identity = _identity(call) + " mended" * bool(mending)
    built = unfinished(call.out) if call.out else None
    with ExitStack() as stack:
        claim = stack.enter_context(claimed(call.out)) if call.out else None
        if claim and (before := claim.run_folder()) and folder is None:
            folder = _cut_off(before, identity, claim.out)
        if claim and (before := claim.run_folder()) and (not folder or before != folder.path):
            _check_nobody_drives(RunFolder(before), claim.out)
        folder = folder or RunFolder.make(call, planned, overwrite=overwrite, home=home)
        stack.enter_context(refusing_full_disks(folder.path, built, planned.disk_bytes))  # what its own notes meet
        stack.enter_context(folder.driven(lock))
        stack.enter_context(refusing_full_disks(folder.path, built, planned.disk_bytes))  # what it notes as its end
        if mending and claim and built and _whose(folder.journal) != identity:
            _begin_anew(claim, folder, built)
            mending.seed(built, folder.journal, identity)
        earlier = NOTHING if mending else earlier_of(call, identity, folder.path.parent)
        journal = Journal(stack.enter_context(folder.journal.open("a+", errors="replace")), identity, built, earlier)
        if claim and built and (not journal.resumed or claim.run_folder() != folder.path):
            _begin_anew(claim, folder, built)
        if claim:
            claim.begun = True
        yield Attempt(call, folder, journal, claim, mending)


def untold(call: Call, out: Path) -> RunFolder | None:
    """The run of this very call whose output is in its place, if it was killed before it could say so: its note is still there."""
    text = note_of(out).read_text() if note_of(out).is_file() else ""
    folder = RunFolder(Path(text))
    same = bool(text) and folder.recipe.is_file() and folder.recipe.read_text() == recipe_text(call.absolute())
    return folder if same and is_placed(folder, out) else None


def is_placed(folder: RunFolder, out: Path) -> bool:
    """Whether the output has taken its place, though the run may have been killed before it could say so."""
    return out.exists() and folder.facts().get("seal") == seal(out)


def _begin_anew(claim: Claim, folder: RunFolder, built: Path) -> None:
    """Whatever was built before is none of this run's."""
    remove(built)
    claim.belongs_to(folder.path)
    claim.begun = True


def _cut_off(path: Path, identity: str, out: Path) -> RunFolder | None:
    """The run that left this note, if it can go on with the same call; None where it is gone, was another, or is through."""
    try:
        return folder if _whose((folder := RunFolder(path)).journal) == identity and not is_placed(folder, out) else None
    except FileNotFoundError:
        return None


def _whose(journal: Path) -> str:
    """The first line of a journal; empty where there is none."""
    if not journal.exists():
        return ""
    with journal.open(errors="replace") as file:
        return file.readline().rstrip("\n")


def _check_nobody_drives(other: RunFolder, out: Path) -> None:
    """Refuse an output that another run writes from where the lock of its note does not reach."""
    with suppress(FileNotFoundError):  # a run whose folder is gone
        if other.state in (State.STARTING, State.RUNNING):
            raise PathError(f"out: run {other.id} is writing {out} now. Wait for it, cancel it, or choose another name.")


def _identity(call: Call) -> str:
    """One line that is equal for two runs if the second may go on with what the first has done."""
    placed = call.absolute()
    inputs = {str(path): fingerprint(path) for _, path in placed.paths(Reads)}
    return json.dumps([call.function.__name__, placed.as_json(), inputs, versions()], sort_keys=True)
