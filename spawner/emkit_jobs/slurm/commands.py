"""Running Slurm's commands, and reading the few notations that they share."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from emkit_jobs.scheduler import SchedulerError

NO_SUCH_JOB = "Invalid job id"
TIMES = {"SLURM_TIME_FORMAT": "%s"}  # POSIX seconds, whatever the site's time zone
LOOK_S = 0.05  # between two looks whether a command has ended
_TO_MB = {"": 1 / 2**20, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


class CommandError(SchedulerError):
    """A command of Slurm's that failed or did not answer: what it said."""


@dataclass
class Commands:
    """`environment` goes to each command, such as SLURM_CONF; `patience_s` is for one command."""

    environment: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = field(default=20.0, kw_only=True)

    async def run(self, *command: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """What a command prints. CommandError with its own words when it fails, or when it takes too long."""
        return (await self.run_both(*command, text=text, environment=environment))[0]

    async def run_both(self, *command: str, text: str = "", environment: Mapping[str, str] | None = None) -> tuple[str, str]:
        """The same with what it prints beside the answer: sbatch tells there what it has tested."""
        own = {**os.environ, **self.environment, **TIMES, "LC_ALL": "C"} if environment is None else dict(environment)
        with _memory(text) as given, _memory() as answer, _memory() as beside:
            code = await self._exit_code(command, own, given, answer, beside)
            if code:
                raise CommandError(f"{Path(command[0]).name}: {_read(beside).strip() or f'it ended with exit code {code}'}")
            return _read(answer), _read(beside)

    async def _exit_code(
        self, command: Sequence[str], environment: Mapping[str, str], given: IO[bytes], answer: IO[bytes], beside: IO[bytes]
    ) -> int:
        """Not by asyncio's own processes: a hub that stops cancels all tasks, also that of asyncio's which connects the pipes of a
        new process, and then Python 3.11 waits for them for ever."""
        try:
            process = subprocess.Popen(command, env=environment, stdin=given, stdout=answer, stderr=beside, start_new_session=True)
        except OSError as error:
            raise CommandError(f"{command[0]} cannot be run: {error}.") from error
        try:
            async with asyncio.timeout(self.patience_s):  # `wait_for` of Python 3.11 loses a cancellation that comes with the end
                return await _ended(process)
        except TimeoutError as error:
            raise CommandError(f"{command[0]} did not answer within {self.patience_s:g} s.") from error
        finally:
            if process.poll() is None:  # it takes too long, or nobody waits for it any more
                with suppress(ProcessLookupError, PermissionError):  # what sudo has started is not ours to kill
                    os.killpg(process.pid, signal.SIGKILL)  # a site's wrapper ends with the command in it
                    await _ended(process)

    async def show(self, job_id: str) -> dict[str, str]:
        """What scontrol tells of a job, field by field."""
        told = await self.run("scontrol", "show", "job", "--oneliner", job_id)
        return dict(re.findall(r"(\S+?)=(.*?)(?=\s+\S+?=|\s*$)", told.splitlines()[0]))


async def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Its exit code, once it has one; looked for less and less often."""
    wait_s = 0.002
    while (code := process.poll()) is None:
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LOOK_S)
    return code


def _memory(text: str = "") -> IO[bytes]:
    """A file in memory, at its beginning."""
    file = os.fdopen(os.memfd_create("emkit-command"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def as_user(user: str | None, kept: str) -> Sequence[str]:
    """What stands before a command that runs as this account; nothing for the caller's own.

    sudo writes the values of variables that are named to it into the system's log, but not those of an environment that it keeps
    as a whole: a job's token must go the second way, and then nothing of the hub's own environment may be in it.
    """
    return () if user is None else ("sudo", "--non-interactive", f"--user={user}", kept, "--")


def moment(text: str) -> float | None:
    """POSIX seconds of a time that Slurm prints; None for its "N/A", "NONE" and "Unknown".

    >>> moment("1795266680"), moment("N/A")
    (1795266680.0, None)
    """
    if text.isdigit():
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def span_s(text: str) -> float | None:
    """Seconds of "[DAYS-]HOURS:MINUTES:SECONDS" or "MINUTES:SECONDS.MS"; None for "UNLIMITED" and the like.

    >>> span_s("1-02:00:30"), span_s("01:30.500"), span_s("UNLIMITED")
    (93630.0, 90.5, None)
    """
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not re.fullmatch(r"(\d+-)?(\d+:){1,2}\d+(\.\d+)?", text):
        return None
    hours, minutes, seconds = ["0"] * (3 - len(parts)) + parts
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def size_mb(text: str) -> float | None:
    """MiB of "318M", "3216K", "2G" or a number of bytes; None for anything else.

    >>> size_mb("2G"), size_mb("512K"), size_mb("")
    (2048.0, 0.5, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    return float(found[1]) * _TO_MB[found[2]] if found else None


def resource_counts(text: str) -> dict[str, str]:
    """The parts of a TRES text, by name.

    >>> resource_counts("cpu=4,mem=2G,gres/gpu=1")
    {'cpu': '4', 'mem': '2G', 'gres/gpu': '1'}
    """
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
