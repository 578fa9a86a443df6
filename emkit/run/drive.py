"""The driver: it plans a call, passes the gate, answers what the step's body asks for, and puts the result in its place.

A run that was cut off goes on where it ended: by the same call on the same inputs, which finds it by the note beside its
output, or by its folder. The driver may die at any moment; whoever drives next trusts the journal alone.
"""

import inspect
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from emkit_jobs.offered import Offer

from emkit.params import Call
from emkit.provenance import RESULT, Run, size_of
from emkit.run import afar
from emkit.run.attempt import Attempt, attempt, is_placed, untold
from emkit.run.detached import detach, follow
from emkit.run.folder import RunFolder
from emkit.run.machine import machine
from emkit.run.mending import Mending
from emkit.run.output import claimed, clear, unfinished
from emkit.run.place import Place
from emkit.run.plan import PeakMemory, Plan, gate
from emkit.run.room import Placed, default_place, placed
from emkit.run.stage import Stage

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
        folder = untold(call, call.out)
    if folder and call.out and is_placed(folder, call.out):
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
    begun = attempt(call, planned, folder=folder, lock=lock, overwrite=overwrite, home=home, mending=mending)
    with closing(body), begun as run:
        run.folder.note(**there.facts(), job=job)
        began = datetime.now(UTC)
        result, used = _drive(body, run, there)
        ended = began + timedelta(seconds=used.seconds)  # clocks are set back
        where = machine() | {name: str(fact) for name, fact in there.facts().items()}
        run.folder.note(used=asdict(used), machine=where)
        run.finish(result_json(call, result), Run(began, ended, f"planned: {planned}; used: {used}", run.folder.id, where))
    return result


def result_json(call: Call, result: Any) -> bytes:
    """What a step returned, in JSON by its annotation: equal bytes for equal results."""
    from pydantic import TypeAdapter

    return TypeAdapter(inspect.signature(call.function).return_annotation).dump_json(result, indent=1)


def _built(call: Call) -> Call:
    """The call as the body is handed it: its output is built under another name."""
    return call.with_out(unfinished(call.out)) if call.out else call


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


def _drive(body: Body[Any], run: Attempt, there: Placed) -> tuple[Any, Plan]:
    """Answer what the body asks for, until it returns; its result, and what was used."""
    began_s, memory, answer = time.monotonic(), PeakMemory(), None
    with there.executor(run.folder.path / "workers") as hands:
        try:
            while isinstance(asked := body.send(answer), Stage):
                answer = run.journal.execute(asked, hands)
        except StopIteration as end:
            peak, disk = memory.bytes() + hands.peak_bytes, size_of(run.built) if run.built else 0
            return end.value, Plan(peak, disk, time.monotonic() - began_s, workers=there.plan.workers)
    raise TypeError(f"after its Plan a step yields stages, not {asked!r}")
