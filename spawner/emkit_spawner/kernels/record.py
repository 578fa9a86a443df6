"""What a kernel leaves on disk, so that nothing is lost when its server is killed at any moment: whose it is, and its job.

The record is written before the job exists, with the name that the job will have. So a job is found again by its record, or by its
name where its server died before it could note the job's number.
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from emkit_jobs.local import LocalScheduler
from emkit_jobs.scheduler import Scheduler
from emkit_jobs.slurm import Slurm, SlurmScheduler

from emkit_spawner.kernels.launcher import read, write

PREFIX = "emkit-kernel-"
FILE = "record.json"


@dataclass(frozen=True)
class Owner:
    """Who may manage a kernel: under a hub the server of this address, of which there is one at a time; else one process."""

    server: str
    host: str
    pid: int
    born: str  # a process's number is used again, its start time with it is not

    @classmethod
    def me(cls, *, server: bool) -> Self:
        """This process: a Jupyter server, or a program such as papermill (which may run in a terminal of a hub's server)."""
        address = (os.environ.get(name, "") for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_PREFIX"))
        return cls(" ".join(address).strip() if server else "", socket.gethostname(), os.getpid(), _born(os.getpid()))

    def gone(self, me: "Owner") -> bool:
        """Whether it surely manages nothing any more, so that `me` may."""
        if self == me:
            return False
        if self.server:
            return self.server == me.server
        return self.host == me.host and _born(self.pid) != self.born


def _born(pid: int) -> str:
    """When a process started: the boot, and the time within it. Empty when there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass(frozen=True)
class Place:
    """Where a kernel's job is submitted: which scheduler, and Slurm's configuration file where it is not at its usual place."""

    scheduler: str  # "slurm" or "local"
    slurm_conf: str = ""

    def open(self, root: Path) -> Scheduler:
        return _opened(self, root)


@cache
def _opened(place: Place, root: Path) -> Scheduler:
    """One for all kernels of a process, so that one question serves them all."""
    if place.scheduler == "local":
        return LocalScheduler(root / "jobs")
    return SlurmScheduler(Slurm({"SLURM_CONF": place.slurm_conf} if place.slurm_conf else {}, own=True), log="job.log")


@dataclass(frozen=True)
class Record:
    kernel_id: str
    kernel_name: str
    place: Place
    owner: Owner
    server: bool  # started by a Jupyter server, which can take it back; not by a program such as papermill
    job_id: str = ""
    start: int = 1
    over: bool = False  # nobody wants it any more: its job is to end
    made_at: float = field(default_factory=time.time)

    @property
    def job_name(self) -> str:
        return PREFIX + self.kernel_id

    def write(self, folder: Path) -> None:
        write(folder / FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """None for a folder without one, or with one that was being written when its server died."""
        found = read(folder / FILE)
        if not found:
            return None
        return cls(**{**found, "place": Place(**found["place"]), "owner": Owner(**found["owner"])})


def kernel_folders(root: Path) -> Iterator[tuple[Path, Record]]:
    """The folders of this account's kernels, with their records."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and folder.stat().st_uid == os.getuid() and (record := Record.read(folder)) is not None:
            yield folder, record
