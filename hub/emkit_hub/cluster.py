"""A real Slurm on this machine: one controller and three nodes on loopback ports of their own, in a folder of their own.

For `scripts/up --slurm` and for the tests. It needs root (Slurm starts jobs as their users) and Debian's packages slurm-wlm and
munge. Nothing outside the folder is touched, and `stop` ends what `start` began, by number. The folder may be one that an
earlier start has used: daemons that still live there are taken over, their jobs too, and the numbers of jobs go on.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from emkit_hub.data_folder import free_ports

NODES = ("em1", "em2", "em3")
GPU_NODE, GPU_FILES = "em3", ("/dev/null", "/dev/zero")  # stand for GPUs: Slurm only wants a device file for each
PATIENCE_S = 30.0
CONFIG = """\
ClusterName=emkit
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency={use_every_s}
GresTypes=gpu
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=100000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
KillWait=5
MinJobAge={min_job_age_s}
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
DefMemPerCPU=512
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes=em[1-3] Default=YES MaxTime=08:00:00 DefaultTime=00:10:00 State=UP
PartitionName=closed Nodes=em1 State=DOWN
{lines}
"""


class ClusterError(RuntimeError):
    """Slurm cannot be started or does not answer: what it said, and what to do."""


class Cluster:
    """`use_every_s`: how often the use of each job is measured; 0: never. `lines`: more of its configuration.
    `environment`: what Slurm's commands need to reach it. `daemons`: those that live."""

    def __init__(self, folder: Path, *, min_job_age_s: int = 300, use_every_s: int = 1, lines: str = "") -> None:
        self.folder, self.environment = folder, {"SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("munge", "state", *(f"spool/{node}" for node in NODES)):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "state").chmod(0o700)  # holds the jobs' environments, tokens too
        self.daemons = self._living()
        if self.daemons:
            return  # they know the ports that stand in their configuration
        ports = free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=6000"
            + (f" Gres=gpu:{len(GPU_FILES)}" if name == GPU_NODE else "")
            for name, port in zip(NODES, ports[1:], strict=True)
        )
        values = {"folder": folder, "host": socket.gethostname(), "ports": ports, "nodes": nodes, "min_job_age_s": min_job_age_s}
        (folder / "slurm.conf").write_text(CONFIG.format(**values, use_every_s=use_every_s, lines=lines))
        (folder / "gres.conf").write_text("".join(f"NodeName={GPU_NODE} Name=gpu File={file}\n" for file in GPU_FILES))

    def start(self) -> None:
        """Start the daemons that do not live yet. ClusterError with the words of one that refuses."""
        if "munged" not in self.daemons:
            self.start_munge()
        if "slurmctld" not in self.daemons:
            self.start_controller()
        for name in NODES:
            if f"slurmd.{name}" not in self.daemons:
                self.start_node(name)
        self.until(lambda: self.states() <= {"idle", "mixed", "allocated"}, "all nodes up")

    def start_munge(self) -> None:
        """As the account of the package, which alone may own its key."""
        folder, account = self.folder / "munge", pwd.getpwnam("munge")
        key = folder / "key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(128))
            for path in (folder, key):
                os.chown(path, account.pw_uid, account.pw_gid)
            folder.chmod(0o755)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={folder / file}" for name, file in files.items()]
        self._begin("munged", [_program("munged"), *options], {}, account="munge")

    def start_controller(self) -> None:
        self._begin("slurmctld", [_program("slurmctld")], self.environment)
        self.until(self._answers, "the controller answers")

    def _answers(self) -> bool:
        ping = subprocess.run(["scontrol", "ping"], env={**os.environ, **self.environment}, capture_output=True, text=True)
        return " is UP" in ping.stdout

    def start_node(self, name: str) -> None:
        self._begin(f"slurmd.{name}", [_program("slurmd"), "-N", name], self.environment)

    def stop(self) -> None:
        """Its jobs first: their supervisors outlive the daemons. What has died meanwhile is started again for that."""
        try:
            if self.daemons:
                self.daemons = self._living()
                self.start()
                self.until(self._no_jobs_left, "no jobs left")
        finally:
            self.daemons = self._living()
            for pid in self.daemons.values():
                os.kill(pid, signal.SIGTERM)  # by force the controller would forget what it had not yet written down
            self.until(lambda: not any(map(_exists, self.daemons.values())), "the daemons gone")
            self.daemons = {}

    def _no_jobs_left(self) -> bool:
        """A job may submit another one while it is cancelled: so they are asked for again and again."""
        left = self.run("squeue", "--noheader", "--format=%i").split()
        if left:
            self.run("scancel", *left)
        return not left

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one daemon, and wait until it is gone."""
        pid = self.daemons.pop(name)
        os.kill(pid, number)
        self.until(lambda: not _exists(pid), f"{name} gone")

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def states(self) -> set[str]:
        return set(self.run("sinfo", "--noheader", "-N", "-p", "main", "-o", "%T").split())

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that Slurm has no event for."""
        last = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > last:
                raise TimeoutError(f"{what}: not within {PATIENCE_S} s")
            time.sleep(0.02)

    def _pid_file(self, name: str) -> Path:
        return self.folder / ("munge/pid" if name == "munged" else f"{name}.pid")

    def _living(self) -> dict[str, int]:
        """The daemons of this start or an earlier one: a number counts when the process that bears it knows this folder."""
        found = {}
        for name in ("slurmctld", *(f"slurmd.{node}" for node in NODES), "munged"):
            try:
                pid = int(self._pid_file(name).read_text())
                known = b"".join(Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "environ"))
            except (OSError, ValueError):
                continue
            if os.fsencode(self.folder) + b"/" in known:
                found[name] = pid
        return found

    def _begin(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, account: str | None = None) -> None:
        """Start a daemon, which leaves for the background at once, and read its number from the file that it writes."""
        file = self._pid_file(name)
        file.unlink(missing_ok=True)
        # not to a pipe: the daemon keeps it open
        with (self.folder / f"{name}.said").open("w+") as said:
            done = subprocess.run(
                command,
                env={**os.environ, **environment},
                stdout=said,
                stderr=said,
                user=account,
                group=account,
                extra_groups=None if account is None else (),
            )
            said.seek(0)
            if done.returncode:
                raise ClusterError(f"{name} does not start: {said.read().strip() or f'exit code {done.returncode}'}")
        self.until(lambda: file.exists() and file.read_text().strip().isdigit(), f"{name} writes {file}")
        self.daemons[name] = int(file.read_text())


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _program(name: str) -> str:
    """Debian keeps the daemons outside the path of most people."""
    return shutil.which(name) or f"/usr/sbin/{name}"
