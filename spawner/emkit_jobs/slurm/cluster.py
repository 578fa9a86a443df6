"""One Slurm, and what is asked of it once for everybody."""

import asyncio
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from emkit_jobs.scheduler import Free, State, Status, Usage
from emkit_jobs.shared import Shared, SharedByKey
from emkit_jobs.slurm import nodes
from emkit_jobs.slurm.commands import NO_SUCH_JOB, CommandError, Commands
from emkit_jobs.slurm.listing import AT_WORK, ENDED, WAITING, Line, Listing, ended

TESTS_AT_ONCE = 4


@dataclass
class Slurm(Commands):
    """Slurm's commands as seen by one caller; one object serves all users of a hub.

    `own`: it lists the caller's own jobs alone. A user's server asks for no more, and then knows no place in a line.
    """

    tick_s: float = 2.0  # one squeue answers for so long
    grace_s: float = 90.0  # until a cancelled job is gone: KillWait and an epilogue
    outlook_s: float = 10.0  # one sinfo, and one test of a shape of jobs
    own: bool = False

    def __post_init__(self) -> None:
        self.jobs: Shared[Listing] = Shared(lambda: Listing.ask(self, own=self.own), self.tick_s)
        self.free: Shared[dict[str, Free]] = Shared(lambda: nodes.ask(self), self.outlook_s)
        self.tests: SharedByKey[float | str | None] = SharedByKey(self.outlook_s)
        self.usages: SharedByKey[Usage | None] = SharedByKey(self.outlook_s)
        self.testing = asyncio.Semaphore(TESTS_AT_ONCE)  # whoever types fast must not keep Slurm busy
        self._addresses: dict[str, str] = {}

    async def statuses(self, ids: Collection[str]) -> dict[str, Status]:
        listing = await self.jobs.get()
        if listing is None or self.jobs.silence:
            return {job_id: Status(State.UNKNOWN, reason=self.jobs.silence) for job_id in ids}
        return {job_id: await self._status(job_id, listing.lines.get(job_id)) for job_id in ids}

    def forget(self) -> None:
        """What was listed is out of date: a job was submitted or cancelled."""
        self.jobs.forget()

    async def _status(self, job_id: str, line: Line | None) -> Status:
        try:
            return await self._read(line.state, line.host, line.reason) if line else await self._evidence(job_id)
        except CommandError as error:
            return Status(State.UNKNOWN, reason=str(error))

    async def _evidence(self, job_id: str) -> Status:
        """Of a job that squeue does not list: what scontrol knows, then what accounting remembers."""
        try:
            shown = await self.show(job_id)
        except CommandError as error:
            if NO_SUCH_JOB not in str(error):
                raise
            return await self._remembered(job_id) or Status(State.FINISHED, reason="Slurm knows no such job any more")
        return await self._read(shown["JobState"], shown.get("BatchHost", ""), shown.get("Reason", ""))

    async def _remembered(self, job_id: str) -> Status | None:
        """From accounting, where the site has it: a terminal state with its exit code."""
        try:
            told = await self.run(
                "sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", f"--jobs={job_id}"
            )
        except CommandError:
            return None  # no accounting, or it is silent: scontrol has told already that the job is gone
        if not told.strip():
            return None
        state, code = told.splitlines()[0].split("|")
        return ended(state.split()[0], code)

    async def _read(self, state: str, host: str, reason: str) -> Status:
        if state in ENDED:
            return ended(state, "")
        if state in AT_WORK:
            return Status(State.RUNNING, host=await self.address(host), node=host)
        if state in WAITING:
            return Status(State.PENDING, reason=reason)
        return Status(State.UNKNOWN, reason=f"Slurm calls its state {state}")

    async def address(self, node: str) -> str:
        """Where a node is reached: Slurm's own NodeAddr, since its name need not resolve."""
        if node not in self._addresses:
            told = await self.run("scontrol", "show", "node", "--oneliner", node)
            found = re.search(r"NodeAddr=(\S+)", told)
            self._addresses[node] = found[1] if found else node
        return self._addresses[node]

    async def named(self, prefix: str, account: str | None = None) -> dict[str, str]:
        """Name → id of the jobs that have not ended and whose name begins so; of one Unix account, or of all.

        Anybody may give a job any name, with a line break in it too: a mark that nobody can know begins each answer.
        """
        mark = f"{secrets.token_hex(8)} "
        whose = [] if account is None else [f"--user={account}"]
        told = await self.run("squeue", "--noheader", "--all", *whose, f"--format={mark}%i|%u|%j")
        found = (answer.removesuffix("\n").split("|", 2) for answer in told.split(mark)[1:])
        return {name: job_id for job_id, owner, name in found if name.startswith(prefix) and account in (None, owner)}

    async def owner(self, job_id: str) -> str | None:
        """The Unix account of a job; None if Slurm knows no such job. (In what scontrol prints its user may write such words.)"""
        try:
            return (
                await self.run("squeue", "--noheader", "--all", "--states=all", "--format=%u", f"--jobs={job_id}")
            ).strip() or None
        except CommandError as error:
            if NO_SUCH_JOB not in str(error):
                raise
            return None
