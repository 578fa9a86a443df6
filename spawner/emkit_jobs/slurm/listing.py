"""What squeue lists of everybody's jobs: their states, why they wait, in which place of the line, and when they are to end."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from emkit_jobs.scheduler import State, Status
from emkit_jobs.slurm.commands import Commands, moment
from emkit_jobs.slurm.reasons import NOT_IN_LINE

WAITING = {
    "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT", "STOPPED", "SUSPENDED",
}  # fmt: skip
AT_WORK = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT"}
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
YEAR_S = 366 * 86400.0  # Slurm's way to say "never"
_FORMAT = "--format=%i|%T|%B|%S|%e|%l|%Q|%P|%Y|%u|%r"  # nothing that a user may type


@dataclass(frozen=True)
class Line:
    """One job, in Slurm's own words. `start`: of a waiting job, as Slurm plans it; `end`: when its time limit is reached."""

    job_id: str
    state: str
    host: str
    start: float | None
    end: float | None
    priority: int
    partitions: tuple[str, ...]
    planned: str  # the nodes on which Slurm plans to start a waiting job, as it writes them
    account: str  # the Unix account
    reason: str

    @classmethod
    def read(cls, text: str) -> "Line":
        job_id, state, host, start, end, limit, priority, partitions, planned, account, reason = text.split("|", 10)
        begins, ends, never = moment(start), moment(end), time.time() + YEAR_S
        return cls(
            job_id,
            state,
            host,
            begins if begins is not None and begins < never else None,
            ends if limit != "UNLIMITED" else None,
            int(priority),
            tuple(partitions.split(",")),
            "" if planned == "(null)" else planned,
            account,
            reason,
        )

    @property
    def in_line(self) -> bool:
        return self.state == "PENDING" and self.priority > 0 and not NOT_IN_LINE.match(self.reason)


@dataclass(frozen=True)
class Listing:
    """Job id → its line. `whole`: of everybody's jobs, not of the caller's own alone."""

    lines: Mapping[str, Line]
    whole: bool = True

    @classmethod
    async def ask(cls, commands: Commands, *, own: bool = False) -> "Listing":
        whose = [f"--user={os.getuid()}"] if own else []
        told = await commands.run("squeue", "--noheader", "--all", *whose, "--states=all", _FORMAT)
        return cls({line.job_id: line for line in map(Line.read, told.splitlines())}, whole=not own)

    @cached_property
    def positions(self) -> dict[str, int]:
        """The place of each job that is in line, 1 for the next one: the best of its places where it is in several partitions.

        None is known without everybody's jobs.
        """
        if not self.whole:
            return {}
        rows: defaultdict[str, list[Line]] = defaultdict(list)
        for line in sorted(self._in_line(), key=lambda line: (-line.priority, _number(line.job_id))):
            for partition in line.partitions:
                rows[partition].append(line)
        found: dict[str, int] = {}
        for row in rows.values():
            for place, line in enumerate(row, 1):
                found[line.job_id] = min(place, found.get(line.job_id, place))
        return found

    @cached_property
    def planned(self) -> dict[str, float]:
        """Node → when the first job starts there for which Slurm keeps it."""
        found: dict[str, float] = {}
        for line in self._in_line():
            if line.start is not None:
                for node in nodes_of(line.planned):
                    found[node] = min(line.start, found.get(node, line.start))
        return found

    def has_line(self, partition: str) -> bool:
        return any(partition in line.partitions for line in self._in_line())

    def _in_line(self) -> Iterable[Line]:
        return (line for line in self.lines.values() if line.in_line)

    def count(self, states: set[str]) -> int:
        return sum(line.state in states for line in self.lines.values())


def nodes_of(text: str) -> list[str]:
    """The names in Slurm's short way to write many nodes.

    >>> nodes_of("gpu1,em[08-10,12]")
    ['gpu1', 'em08', 'em09', 'em10', 'em12']
    """
    names = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        before, bracket, rest = part.partition("[")
        inside, _, after = rest.partition("]")
        for piece in inside.split(",") if bracket else [""]:
            first, _, last = piece.partition("-")
            numbers = range(int(first), int(last or first) + 1) if first else [0]
            middles = [str(number).zfill(len(first)) for number in numbers] if first else [""]
            names += [before + middle + tail for middle in middles for tail in (nodes_of(after) if after else [""])]
    return names


def _number(job_id: str) -> int:
    """Of "12", "12_3" and "12_[4-9]": 12, by which Slurm orders jobs of one priority."""
    found = re.match(r"\d+", job_id)
    return int(found[0]) if found else 0


def ended(state: str, code: str) -> Status:
    """`code`: EXIT:SIGNAL as accounting has it, empty when it is not known."""
    number = code.partition(":")[0]
    told = {"COMPLETED": "ended by itself", "TIMEOUT": "ended at its time limit", "CANCELLED": "cancelled"}
    exit_code = int(number) if number.isdigit() else 0 if state == "COMPLETED" else None
    return Status(State.FINISHED, exit_code=exit_code, reason=told.get(state, state.lower().replace("_", " ")))
