"""The driver: it plans a call, passes the gate, answers what the step's body asks for, and puts the result in its place.

A run that was cut off goes on where it ended: by the same call on the same inputs, which finds it by the note beside its
output, or by its folder. The driver may die at any moment; whoever drives next trusts the journal alone.
"""

import inspect
import json
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from emkit_jobs.offered import Offer

from emkit.errors import DamagedError, PathError
from emkit.params import Call, Reads
from emkit.provenance import RESULT, TASKS, Run, fingerprint, recipe_text, size_of, versions, write_record
from emkit.run import afar
from emkit.run.detached import detach, follow
from emkit.run.disk import refusing_full_disks
from emkit.run.folder import RunFolder, State
from emkit.run.machine import machine
from emkit.run.mending import Mending
from emkit.run.output import Claim, claimed, clear, note_of, place, remove, seal, settle, unfinished
from emkit.run.place import Place
from emkit.run.plan import PeakMemory, Plan, gate
from emkit.run.room import Placed, default_place, placed
from emkit.run.stage import Journal, Stage

R = TypeVar("R")
Body = Generator[Plan | Stage[Any], Any, R]


def opened(call: Call, values: Mapping[str, Any] | None = None) -> tuple[Body[Any], Plan]:
    """The body of the step, paused behind its plan: to plan is to close it there."""
    body: Body[Any] = inspect.unwrap(call.function)(**(call.values if values is None else values))
    if not isinstance(planned := next(body), Plan):
        raise TypeError(f"a step yields its Plan first, not {planned!r}")
    return body, planned


def begin(call: Call, *, overwrite: bool, on: Place | None = None, home: Path | None = None) -> RunFolder:
    """The folder of a run that somebody else will drive; refused as the run would be. `on`: where its tasks are done."""
    call.check(overwrite=overwrite)
    body, planned = opened(call, _built(call).values)
    with closing(body):
        there = placed(planned, on or default_place(detached=True))
        gate(there.plan, call.out)
        folder = RunFolder.make(call, there.plan, overwrite=overwrite, home=home)
        folder.note(**there.facts(), **there.requests())
        return folder


def move(folder: RunFolder, call: Call, on: Place) -> None:
    """A run that is to go on is to do so at another place; refused where it does not fit there."""
    body, planned = opened(call, _built(call).values)
    with closing(body):
        there = placed(planned, on)
        gate(there.plan, None)
        folder.note(**there.facts(), **there.requests())


def execute(
    call: Call, *, overwrite: bool = False, folder: RunFolder | None = None, lock: int | None = None,
    on: Place | None = None, workers: int = 0, home: Path | None = None, mending: Mending | None = None,
) -> Any:  # fmt: skip
    """Run a step and return its result.

    The output is built beside its place and takes it once its record is written. `folder` is that of a run that was begun
    before, `lock` a descriptor that holds its lock already, `on` where tasks are done (a run that was begun knows that),
    `workers` how many at once at most here, `home` where a folder for the run is made, if not among my runs, `mending` what
    is left of the output that is to be made whole. Raises what refuses the run, before anything is written.
    """
    if call.out and not folder and not overwrite and not mending:
        folder = _untold(call, call.out)
    if folder and call.out and _is_placed(folder, call.out):
        return _ended(call, call.out, folder, lock)
    chosen = folder.place if folder else on or Place("local", count=workers)
    if (job := folder.facts().get("job") if folder else None) and not afar.is_mine(job):
        job = None
    if chosen.kind == "slurm" and not job:
        detach(folder := folder or begin(call, overwrite=overwrite, on=chosen, home=home))
        follow(folder)
        return returned(call, folder)
    call.check(overwrite=overwrite)
    body, planned = opened(call, _built(call).values)
    facts = folder.facts() if folder and job else {}
    offer = Offer.of_facts(facts["worker_offer"] or facts["offer"]) if facts else None
    there = placed(mending.reduced(planned) if mending else planned, chosen, offer, driver=bool(job))
    gate(planned := there.plan, call.out)
    with ExitStack() as stack:
        stack.enter_context(closing(body))
        identity = _identity(call) + " mended" * bool(mending)
        claim = stack.enter_context(claimed(call.out)) if call.out else None
        if claim and (before := claim.run_folder()) and folder is None:
            folder = _unfinished_run(before, identity, claim.out)
        if claim and (before := claim.run_folder()) and (not folder or before != folder.path):
            _check_nobody_drives(RunFolder(before), claim.out)
        folder = folder or RunFolder.make(call, planned, overwrite=overwrite, home=home)
        built = unfinished(call.out) if call.out else None
        stack.enter_context(refusing_full_disks(folder.path, built, planned.disk_bytes))  # what its own notes meet
        stack.enter_context(folder.driven(lock))
        stack.enter_context(refusing_full_disks(folder.path, built, planned.disk_bytes))  # what it notes as its end
        folder.note(**there.facts(), job=job)
        if mending and claim and built and _whose(folder.journal) != identity:
            remove(built)
            claim.belongs_to(folder.path)
            claim.begun = True
            mending.seed(built, folder.journal, identity)
        journal = Journal(stack.enter_context(folder.journal.open("a+", errors="replace")), identity, built)
        if claim and built:
            if not journal.resumed or claim.run_folder() != folder.path:
                remove(built)
            claim.belongs_to(folder.path)
            claim.begun = True
        began = datetime.now(UTC)
        result, used = _drive(body, journal, built, there, folder.path / "workers")
        ended = began + timedelta(seconds=used.seconds)  # clocks are set back
        where = machine() | {name: str(fact) for name, fact in there.facts().items()}
        run = Run(began, ended, f"planned: {planned}; used: {used}", folder.id, where)
        folder.note(used=asdict(used), machine=where)
        (folder.path / RESULT).write_bytes(told := result_json(call, result))
        if call.out and built:
            if built.is_dir():
                (built / TASKS).write_text(journal.lines())
            if mending and claim:
                _check_mended(mending, built, journal, claim)
            if not mending or not mending.record:
                write_record(call, call.out, built, run, told, known=journal.digests())
            if mending:
                mending.finish(built, told)
            settle(built, journal.digests().keys())
            if not mending:  # what is mended has the record of what it takes the place of: that would tell nothing
                folder.note(seal=seal(built))
            place(call.out)
        else:
            write_record(call, folder.path, folder.path, run, told, only=(RESULT,))
    return result


def _check_mended(mending: Mending, built: Path, journal: Journal, claim: Claim) -> None:
    """Raises `DamagedError`, and leaves nothing behind, if what was built may not take the place of what it was to mend."""
    try:
        mending.check(built, journal.digests())
    except DamagedError:
        remove(built)
        claim.begun = False
        raise


def result_json(call: Call, result: Any) -> bytes:
    """What a step returned, in JSON by its annotation: equal bytes for equal results."""
    from pydantic import TypeAdapter

    return TypeAdapter(inspect.signature(call.function).return_annotation).dump_json(result, indent=1)


def _built(call: Call) -> Call:
    """The call as the body is handed it: its output is built under another name."""
    return call.with_out(unfinished(call.out)) if call.out else call


def _unfinished_run(path: Path, identity: str, out: Path) -> RunFolder | None:
    """The run that left this note, if it can go on with the same call; None where it is gone, was another, or is through."""
    try:
        return folder if _whose((folder := RunFolder(path)).journal) == identity and not _is_placed(folder, out) else None
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


def _is_placed(folder: RunFolder, out: Path) -> bool:
    """Whether the output has taken its place, though the run may have been killed before it could say so."""
    return out.exists() and folder.facts().get("seal") == seal(out)


def _untold(call: Call, out: Path) -> RunFolder | None:
    """The run of this very call whose output is in its place, if it was killed before it could say so: its note is still there."""
    text = note_of(out).read_text() if note_of(out).is_file() else ""
    folder = RunFolder(Path(text))
    same = bool(text) and folder.recipe.is_file() and folder.recipe.read_text() == recipe_text(call.absolute())
    return folder if same and _is_placed(folder, out) else None


def _ended(call: Call, out: Path, folder: RunFolder, lock: int | None) -> Any:
    """What a run returned whose output is in its place; what a kill left to do is done."""
    with claimed(out), folder.driven(lock):
        clear(out)
        return returned(call, folder)


def returned(call: Call, folder: RunFolder) -> Any:
    """What a run returned that is through, as the function would have."""
    from pydantic import TypeAdapter

    text = (folder.path / RESULT).read_bytes()
    return TypeAdapter(inspect.signature(call.function).return_annotation).validate_json(text)


def _drive(body: Body[Any], journal: Journal, built: Path | None, there: Placed, log: Path) -> tuple[Any, Plan]:
    """Answer what the body asks for, until it returns; its result, and what was used."""
    began_s, memory, answer = time.monotonic(), PeakMemory(), None
    with there.executor(log) as hands:
        try:
            while isinstance(asked := body.send(answer), Stage):
                answer = journal.execute(asked, hands)
        except StopIteration as end:
            peak = memory.bytes() + hands.peak_bytes
            return end.value, Plan(peak, size_of(built) if built else 0, time.monotonic() - began_s, workers=there.plan.workers)
    raise TypeError(f"after its Plan a step yields stages, not {asked!r}")


def _identity(call: Call) -> str:
    """One line that is equal for two runs if the second may go on with what the first has done."""
    placed = call.absolute()
    inputs = {str(path): fingerprint(path) for _, path in placed.paths(Reads)}
    return json.dumps([call.function.__name__, placed.as_json(), inputs, versions()], sort_keys=True)
