"""The step: a generator that yields its plan, then stages of tasks, and returns its result.

    @step
    def align_sections(source: ..., *, out: ..., voxel_size_nm: ...) -> Body[AlignmentReport]:
        stack = open_stack(source)                            # headers only
        yield Plan(memory_bytes=..., disk_bytes=...)          # to plan is to close the generator here
        found = yield from stage("match", match_pair, {...})
        return AlignmentReport(...)

The decorator makes it a plain function of the same arguments that returns an AlignmentReport.
"""

import inspect
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, get_args

from emkit.errors import ParameterError
from emkit.params import Call, Reads
from emkit.provenance import Run, fingerprint, size_of, versions, write_record
from emkit.run.folder import new_run_folder
from emkit.run.output import journal_of, place, remove, unfinished
from emkit.run.plan import PeakMemory, Plan, gate, workers
from emkit.run.pool import Pool
from emkit.run.stage import Journal, Stage

P = ParamSpec("P")
R = TypeVar("R")
Body = Generator[Plan | Stage[Any], Any, R]


def step(body: Callable[P, Body[R]]) -> Callable[P, R]:
    """A function that validates, plans, passes the gate, works, and leaves a record with what it wrote."""
    if not inspect.isgeneratorfunction(body):
        raise TypeError(f"{body.__name__}: a step yields its Plan before it works")

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        result: R = execute(bind(run, *args, **kwargs))
        return result

    signature, shown = inspect.signature(body, eval_str=True), cast(Any, run)
    shown.__signature__ = signature.replace(return_annotation=get_args(signature.return_annotation)[2])
    return run


def bind(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Call:
    """The call that these arguments make, validated; nothing is run."""
    try:
        return Call.of(function, inspect.signature(function).bind_partial(*args, **kwargs).arguments)
    except TypeError as refused:
        raise ParameterError(f"{function.__name__}: {refused}") from None


def plan(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Plan:
    """What the step would need with these arguments; nothing is written."""
    return plan_of(bind(function, *args, **kwargs), overwrite=True)


def plan_of(call: Call, *, overwrite: bool) -> Plan:
    """What the call would need, from headers only; refused as a run would be, but for what cannot fit."""
    call.check(overwrite=overwrite)
    with closing(inspect.unwrap(call.function)(**call.values)) as body:
        return _plan(body)


def execute(call: Call, *, overwrite: bool = False) -> Any:
    """Run a step and return its result.

    The output is built beside its place and takes it once its record is written. A run that was cut off is taken up
    where it ended by the same call on the same inputs. A step that writes nothing leaves its result and record in a
    folder of its own below `runs_home()`.
    """
    call.check(overwrite=overwrite)
    if (out := call.out) is None:
        result, run = _drive(*_begin(call, call.values, None), Journal(StringIO(), ""), None)
        (folder := new_run_folder(call.function.__name__)).joinpath("result.json").write_bytes(result_json(call, result))
        write_record(call, folder, folder, run)
        return result
    part = unfinished(out)
    body, planned = _begin(call, call.with_out(part).values, out)  # refused here, it leaves no trace
    with journal_of(out) as file:
        journal = Journal(file, _identity(call))
        if not journal.resumed:
            remove(part)
        result, run = _drive(body, planned, journal, part)
        write_record(call, out, part, run)
        place(out)
    return result


def _begin(call: Call, values: Mapping[str, Any], out: Path | None) -> tuple[Body[Any], Plan]:
    """The body, paused behind its plan, which fits."""
    body: Body[Any] = inspect.unwrap(call.function)(**values)
    planned = _plan(body)
    gate(planned, out)
    return body, planned


def _drive(body: Body[Any], planned: Plan, journal: Journal, built: Path | None) -> tuple[Any, Run]:
    """Answer what the body asks for, until it returns."""
    began, memory, answer = datetime.now(UTC), PeakMemory(), None
    with closing(body), Pool(workers()) as pool:
        try:
            while isinstance(asked := body.send(answer), Stage):
                answer = journal.execute(asked, pool)
        except StopIteration as end:
            ended = datetime.now(UTC)
            used = Plan(memory.bytes() + pool.peak_bytes, size_of(built) if built else 0, (ended - began).total_seconds())
            return end.value, Run(began, ended, f"planned: {planned}; used: {used}")
    raise TypeError(f"after its Plan a step yields stages, not {asked!r}")


def _plan(body: Body[Any]) -> Plan:
    if not isinstance(first := next(body), Plan):
        raise TypeError(f"a step yields its Plan first, not {first!r}")
    return first


def _identity(call: Call) -> str:
    """One line that is equal for two runs if the second may go on with what the first has done."""
    inputs = {str(path): fingerprint(path) for _, path in call.paths(Reads)}
    return json.dumps([call.function.__name__, call.as_json(), inputs, versions()], sort_keys=True)


def result_json(call: Call, result: Any) -> bytes:
    """What a step returned, in JSON by its annotation: equal bytes for equal results."""
    from pydantic import TypeAdapter

    return TypeAdapter(inspect.signature(call.function).return_annotation).dump_json(result, indent=1)
