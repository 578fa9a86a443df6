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
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast, get_args

from emkit.errors import ParameterError
from emkit.params import Call
from emkit.run.drive import Body, execute, opened
from emkit.run.place import LOCAL, Place
from emkit.run.plan import Plan
from emkit.run.room import placed

__all__ = ["Body", "bind", "plan", "plan_of", "step"]

P = ParamSpec("P")
R = TypeVar("R")


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


def plan_of(call: Call, *, overwrite: bool, on: Place = LOCAL) -> Plan:
    """What the call would need there, from headers only; refused as a run would be, but for what cannot fit."""
    call.check(overwrite=overwrite)
    body, planned = opened(call)
    with closing(body):
        return placed(planned, on).plan
