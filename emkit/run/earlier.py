"""What an output that is to be replaced can tell of the one to come: the results of tasks that the change does not touch.

A stage names the parameters that leave its tasks as they are (`stage(…, unaffected_by=…)`): its keys then tell all that these
change. Where the earlier run was the same call on the same inputs by the same versions but for some of them, a task of the same
key has the same result, and is not done again. The journal of that run must still be there; its files are never touched.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emkit.errors import EmkitError
from emkit.params import Call
from emkit.run.folder import RunFolder
from emkit.run.lines import read_results


@dataclass(frozen=True)
class Earlier:
    """By stage and task the results of an earlier run, as text, and in which parameters it differs."""

    results: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    differing: frozenset[str] = frozenset()

    def of(self, stage: str, unaffected_by: Collection[str]) -> Mapping[str, str]:
        """The results that hold for a stage."""
        return self.results.get(stage, {}) if unaffected_by and self.differing <= {*unaffected_by, "out"} else {}


NOTHING = Earlier()


def earlier_of(call: Call, identity: str, runs: Path) -> Earlier:
    """What the run among ``runs`` knows that made the output to be replaced; ``identity`` is the first line of a journal."""
    from emkit.records import read_record

    if not call.out or not call.out.exists():
        return NOTHING
    try:
        journal = RunFolder(runs / Path(read_record(call.out).run).name).journal
    except EmkitError:  # not of ours, or damaged: it tells nothing
        return NOTHING
    if not journal.is_file():
        return NOTHING
    before, results = read_results(journal)
    differing = parameters_differing(before, identity)
    return NOTHING if differing is None else Earlier(results, differing)


def parameters_differing(one: str, other: str) -> frozenset[str] | None:
    """In which parameters two runs differ, by the first lines of their journals; None if in step, inputs or versions too."""
    try:
        (step, mine, *rest), (other_step, theirs, *other_rest) = json.loads(one), json.loads(other)
    except ValueError:  # a repair, or not a journal
        return None
    if (step, rest) != (other_step, other_rest):
        return None
    return frozenset(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
