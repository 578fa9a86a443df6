"""What `emkit-hub check` asks of Slurm and of sudo, with the commands that the spawner uses."""

import grp
import os
import pwd
import re
import subprocess
from collections.abc import AsyncIterator, Iterator

from emkit_jobs.slurm import CommandError, Slurm

from emkit_hub.installation.finding import Finding, good, note, wrong
from emkit_hub.installation.machine import account
from emkit_hub.settings import Settings

PATIENCE_S = 20


def slurm_of(settings: Settings) -> Slurm:
    return Slurm({"SLURM_CONF": str(settings.slurm.conf)} if settings.slurm.conf else {}, tick_s=0.5)


async def scheduler(slurm: Slurm) -> AsyncIterator[Finding]:
    try:
        told = await slurm.run("scontrol", "ping")
        states = (await slurm.run("sinfo", "--noheader", "--Node", "--format=%N %T")).splitlines()
    except CommandError as error:
        yield wrong(
            "scheduler",
            str(error),
            "Are Slurm's commands installed here, is slurm.conf right, do slurmctld and munge run, here too?",
        )
        return
    up = {line.split()[0] for line in states if line.split()[1].rstrip("*~#$@+^-") in ("idle", "mixed", "allocated", "completing")}
    every = {line.split()[0] for line in states}
    first = told.strip().splitlines()[0]
    if up:
        yield good("scheduler", f"{first}; {len(up)} of {len(every)} nodes up")
    else:
        yield wrong("scheduler", f"{first}; none of {len(every)} nodes is up", "See why: sinfo --list-reasons")


async def accounting(slurm: Slurm) -> AsyncIterator[Finding]:
    try:
        await slurm.run("sacct", "--noheader", "--allocations", "--format=JobID", "--starttime=now")
    except CommandError as error:
        yield note(
            "accounting",
            str(error),
            "Without it a session ends without its efficiency, and a job that Slurm forgot is ended by Slurm's word alone. "
            "For it: slurmdbd, and AccountingStorageType=accounting_storage/slurmdbd",
        )
    else:
        yield good("accounting", "sacct answers")


async def partitions(settings: Settings, slurm: Slurm) -> AsyncIterator[Finding]:
    try:
        told = await slurm.run("sinfo", "--noheader", "--all", "--format=%R|%a")
    except CommandError as error:
        yield note("partitions", f"not tried: {error}")
        return
    known = dict(line.split("|", 1) for line in told.splitlines())
    for name, profile in settings.profiles.items():
        for partition in (profile.partition or "").split(","):
            if not partition:
                continue
            if partition not in known:
                there = ", ".join(sorted(known))
                yield wrong(f"profile: {name}", f"partition {partition} does not exist", f"Name one of these: {there}")
            elif known[partition] != "up":
                yield wrong(
                    f"profile: {name}",
                    f"partition {partition} is {known[partition]}",
                    f"scontrol update PartitionName={partition} State=UP, or take the profile out",
                )
            else:
                yield good(f"profile: {name}", f"partition {partition} is up")


def candidate(group: str) -> str | None:
    """The first account of this Unix group that is not root's; None when there is none, or no such group."""
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return None
    names = [*found.gr_mem, *(one.pw_name for one in pwd.getpwall() if one.pw_gid == found.gr_gid)]
    return next((name for name in names if name != "root"), None)


def sudo(settings: Settings, slurm: Slurm, user: str | None) -> Iterator[Finding]:
    """Whether sudo lets the hub's account submit and cancel as `user`, and nothing more; tried by asking for the version."""
    group = settings.slurm.accounts
    if not settings.slurm.sudo:
        yield note("sudo", "not used (slurm.sudo = false): all servers run as the hub's account")
        return
    try:
        if "root" in grp.getgrnam(group).gr_mem:
            yield wrong("sudo: group", f"root is a member of {group}", f"gpasswd --delete root {group}")
    except KeyError:
        yield wrong(
            "sudo: group",
            f"slurm.accounts names {group!r}, and there is no such Unix group",
            f"groupadd {group}, and add the people who may have servers; or name another one",
        )
        return
    if user is None:
        yield note("sudo", f"not tried: the group {group} has no member that could be looked up", "Name one: --user NAME")
        return
    for command in ("sbatch", "scancel"):
        said = _refusal(slurm, f"--user={user}", "--preserve-env", "--", command, "--version")
        if said is None:
            yield good(f"sudo: {command}", f"{account()} may run it as {user}")
        else:
            yield wrong(
                f"sudo: {command}",
                f"{account()} may not run it as {user}: {said}",
                f"As root: emkit-hub sudoers --account {account()} | install -m 0440 /dev/stdin /etc/sudoers.d/emkit-hub",
            )
    if os.geteuid() == 0:
        yield note("sudo: nothing more", "not tried: root may do everything", "Run this check as the hub's account.")
        return
    wide = [
        words
        for words in (("--user=root", "--", "sbatch", "--version"), (f"--user={user}", "--", "true"))
        if not _refusal(slurm, *words)
    ]
    if wide:
        yield wrong(
            "sudo: nothing more",
            f"{account()} may also type: {'; '.join('sudo ' + ' '.join(words) for words in wide)}",
            "Whoever breaks into the hub could do that. See who grants it: sudo -l; keep what emkit-hub sudoers prints alone",
        )
    else:
        yield good("sudo: nothing more", f"nothing as root, no other command as {user}")


def _refusal(slurm: Slurm, *words: str) -> str | None:
    """sudo's last words when it refuses, or the command's own when that fails; None when it ran."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SLURM_CONF")}
    try:
        done = subprocess.run(
            ["sudo", "--non-interactive", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={**kept, **slurm.environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return "there is no program sudo"
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE_S} s"
    if done.returncode == 0:
        return None
    lines = re.sub(r"\s*\n\s*", " ", done.stderr.strip())
    return lines or f"exit code {done.returncode}"
