"""A run once more, from its record alone."""

from dataclasses import replace
from pathlib import Path

from emkit.errors import DamagedError, PathError
from emkit.provenance import RECIPE
from emkit.recipe import load
from emkit.records import record_of
from emkit.run.drive import execute
from emkit.run.place import LOCAL, Place
from emkit.runs.comparing import Comparison, compared, of_record
from emkit.runs.verifying import verify


def rerun(made: Path | str, *, out: Path | str, overwrite: bool = False, on: Place = LOCAL) -> Comparison:
    """Repeat the run that made `made` from its record alone, onto `out`, and compare, down to the largest difference of values.

    `on` says where its tasks are done.

    Raises `PathError` where the record or an input is missing, `DamagedError` where `made` is not what its record says.
    """
    made, out = Path(made), Path(out)
    (call,) = load(record_of(made) / RECIPE)
    if call.out is None:
        raise PathError(f"{made} is the record of {call.function.__name__} without an output; there is nothing to compare with.")
    if out.resolve() == made.resolve():
        raise PathError(f"out: {out} is the output to be repeated; choose another place, so that both can be compared.")
    if not (found := verify(made)).whole:
        raise DamagedError(f"{found}\nMend it first: emkit repair {made}")
    execute(call.with_out(out), overwrite=overwrite, on=on)
    compare = compared(of_record(str(made), made), of_record(str(out), out))
    return compare if compare.result else replace(compare, machine=())  # another machine that made the same is no difference
