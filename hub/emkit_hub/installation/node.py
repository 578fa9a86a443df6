"""What `emkit-hub check` learns from a real job on a node: Python, shared file system, clock, and the ways between node and hub."""

import asyncio
import json
import os
import pwd
import secrets
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypedDict

from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job, SchedulerError
from emkit_jobs.script import SESSION, Verbatim, render
from emkit_jobs.slurm import Slurm, SlurmScheduler

from emkit_hub.data_folder import DataFolder
from emkit_hub.installation import probe
from emkit_hub.installation.finding import Finding, good, note, wrong
from emkit_hub.installation.machine import account
from emkit_hub.settings import Settings

CLOCK_S = 2.0  # more than this apart, and tokens, activity and Slurm's own credentials go astray
TICK_S = 0.1
LONGEST = 10_000  # characters of an answer


class Answer(TypedDict):
    """What probe.py writes."""

    host: str
    time: float
    token: str
    missing: list[str]
    no_way: str
    port: int


async def trial(
    settings: Settings, folder: DataFolder, slurm: Slurm, user: str | None, partition: str | None, patience_s: float
) -> AsyncIterator[Finding]:
    """Findings of one job in `partition` (None: Slurm's default), as `user` where the site uses sudo. It ends by itself."""
    what = f"node ({partition or 'default partition'})"
    runs_as = user if settings.slurm.sudo else account()
    if runs_as is None:
        yield note(what, "not tried: no account of a user is known", "Name one: --user NAME")
        return
    place = settings.slurm.shared or (Path(pwd.getpwnam(runs_as).pw_dir) if os.geteuid() == 0 or runs_as == account() else None)
    if place is None:
        yield note(
            what,
            f"not tried: {account()} cannot write into the home of {runs_as}",
            "Name a folder on the shared file system that the hub's account may write, as `shared` in [slurm]",
        )
        return
    scheduler = SlurmScheduler(slurm, runs_as if settings.slurm.sudo else None, settings.slurm.sudo, log="log")
    with ExitStack() as undo:
        try:
            token = secrets.token_hex(8)
            here = undo.enter_context(_folder(place, runs_as, token))
        except OSError as error:
            yield wrong(what, f"{account()} cannot write to {place}: {error.strerror}", "Is it mounted, full, or read-only?")
            return
        address = settings.network.hub_address
        port = undo.enter_context(
            _hub_or_stand_in(address, settings.network.hub_port or (folder.ports()["hub"] if folder.prepared else 0))
        )
        command = [sys.executable, probe.__file__, str(here / "token"), str(here / "job" / "answer"), address, str(port)]
        prologue, nothing = Verbatim(settings.lab.prologue), Verbatim("")
        script = render(SESSION, directives=nothing, prologue=prologue, epilogue=nothing, command=command)
        resources = Resources(cpus=1, partition=partition)
        began = time.time()
        try:
            job_id = await scheduler.submit(
                Job(f"emkit-check-{secrets.token_hex(4)}", script, here / "job", {"PATH": os.defpath}, resources)
            )
        except SchedulerError as error:
            yield wrong(what, f"the job is refused: {error}", "What Slurm says there; a site's default account or partition?")
            return
        try:
            answer = await _answer(here / "job" / "answer", patience_s)
            seen = time.time()
            if answer is None:
                told = await scheduler.explain(job_id)
                yield wrong(
                    what,
                    f"no answer within {patience_s:.0f} s. {told}",
                    f"If the node is merely busy: --patience {10 * patience_s:.0f}",
                )
                return
            node = (await slurm.show(job_id)).get("BatchHost", answer["host"])
            for finding in read(answer, f"node {node}", token, began, seen, f"{address}:{port}"):
                yield finding
            yield await _way_to_node(await slurm.address(node), answer["port"], f"node {node}: hub → node")
        finally:
            with suppress(SchedulerError):  # the table has told already what does not work
                await scheduler.cancel(job_id)


def read(answer: Answer, what: str, token: str, began: float, seen: float, hub: str) -> Iterator[Finding]:
    """Findings in one answer: `began` and `seen` are this host's clock before the job and after its answer."""
    if answer["missing"]:
        lacking = ", ".join(answer["missing"])
        yield wrong(f"{what}: Python", f"{sys.executable} lacks {lacking} there", "Install emkit at the same path on every node.")
    else:
        yield good(f"{what}: Python", f"{sys.executable} runs with a server's packages")
    if answer["token"] == token:
        yield good(f"{what}: shared files", "written here, read there, and the other way")
    else:
        yield wrong(
            f"{what}: shared files", f"what was written here cannot be read there: {answer['token']}", "Mount it on all nodes."
        )
    apart = max(began - answer["time"], answer["time"] - seen, 0.0)
    if apart > CLOCK_S:
        sign = "behind" if answer["time"] < began else "ahead"
        yield wrong(f"{what}: clock", f"at least {apart:.0f} s {sign} of this host", "Run chrony or systemd-timesyncd on both.")
    else:
        yield good(f"{what}: clock", "agrees with this host's")
    if answer["no_way"]:
        yield wrong(
            f"{what}: node → hub",
            f"no connection to {hub}: {answer['no_way']}",
            "network.hub_address must be an address that nodes reach, and network.hub_port open in the firewall",
        )
    else:
        yield good(f"{what}: node → hub", f"reaches {hub}")


@contextmanager
def _folder(place: Path, runs_as: str, token: str) -> Iterator[Path]:
    """A new folder, removed at the end: the file `token`, which others may only read, and `job`, where the job writes."""
    made = place / f".emkit-check-{secrets.token_hex(8)}"
    made.mkdir(mode=0o700)
    try:
        (made / "token").write_text(token)
        (made / "token").chmod(0o644)
        (made / "job").mkdir()
        if os.geteuid() == 0:
            os.chown(made / "job", pwd.getpwnam(runs_as).pw_uid, -1)
        elif runs_as != account():
            (made / "job").chmod(0o1777)  # for the minute of the trial: this account cannot give a folder away
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def _hub_or_stand_in(address: str, port: int) -> Iterator[int]:
    """The hub's port. Where no hub listens at it yet, something else does meanwhile, so that the way to it can be tried."""
    try:
        listener = socket.create_server((address, port))
    except OSError:  # it runs (or the address is not this host's, which the job will tell)
        yield port
        return
    with listener:
        yield int(listener.getsockname()[1])


async def _answer(file: Path, patience_s: float) -> Answer | None:
    last = time.monotonic() + patience_s
    while time.monotonic() < last:
        os.listdir(file.parent)  # NFS looks again then
        # somebody else may write there: no link is followed, and what is no answer is none
        with suppress(OSError, ValueError), open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW)) as stream:
            found: Answer = json.loads(stream.read(LONGEST))
            if isinstance(found, dict) and set(found) == set(Answer.__annotations__):
                return found
        await asyncio.sleep(TICK_S)
    return None


async def _way_to_node(address: str, port: int, what: str) -> Finding:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), probe.CONNECTS_S)
    except (OSError, TimeoutError) as error:
        return wrong(
            what,
            f"no connection to {address}:{port}: {error or 'no answer'}",
            "The firewall must let the hub's host reach ports of nodes.",
        )
    writer.close()
    return good(what, f"reaches {address}:{port}")
