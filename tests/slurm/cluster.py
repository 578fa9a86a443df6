"""A real Slurm on this machine: one controller and three nodes on loopback ports of their own, in a folder of their own.

Needs root (Slurm starts jobs as their users) and Debian's packages slurm-wlm and munge. Nothing outside the folder is touched, and
`stop` ends what `start` began, by number.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from emkit_hub.data_folder import free_ports

NODES = ("em1", "em2", "em3")
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
JobAcctGatherType=jobacct_gather/none
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
PartitionName=main Nodes=em[1-3] Default=YES MaxTime=01:00:00 DefaultTime=00:10:00 State=UP
PartitionName=closed Nodes=em1 State=DOWN
"""


class Cluster:
    """`environment`: what Slurm's commands need to reach it."""

    def __init__(self, folder: Path, *, min_job_age_s: int = 300) -> None:
        self.folder, self.environment = folder, {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, int] = {}
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir()
        ports = free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=6000"
            for name, port in zip(NODES, ports[1:], strict=True)
        )
        text = CONFIG.format(folder=folder, host=socket.gethostname(), ports=ports, nodes=nodes, min_job_age_s=min_job_age_s)
        (folder / "slurm.conf").write_text(text)

    def start(self) -> None:
        self.start_munge()
        self.start_controller()
        for name in NODES:
            (self.folder / "spool" / name).mkdir()
            self._daemon(f"slurmd.{name}", ["slurmd", "-N", name])
        self.until(lambda: self.states() == {"idle"}, "all nodes idle")

    def start_munge(self) -> None:
        """As the account of the package, which alone may own its key."""
        folder, account = self.folder / "munge", pwd.getpwnam("munge")
        key = folder / "key"
        if not key.exists():
            key.write_bytes(os.urandom(128))
            key.chmod(0o600)
            for path in (folder, key):
                os.chown(path, account.pw_uid, account.pw_gid)
            folder.chmod(0o755)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={folder / file}" for name, file in files.items()]
        munged = shutil.which("munged") or "/usr/sbin/munged"
        subprocess.run([munged, *options], check=True, user="munge", group="munge", extra_groups=[])
        self.daemons["munged"] = self._number(folder / "pid")

    def start_controller(self) -> None:
        self._daemon("slurmctld", ["slurmctld"])

    def stop(self) -> None:
        """Its jobs first: their supervisors outlive the daemons."""
        if {"munged", "slurmctld"} <= self.daemons.keys():
            for job_id in self.run("squeue", "--noheader", "--format=%i").split():
                self.run("scancel", job_id)
            self.until(lambda: not self.run("squeue", "--noheader"), "no jobs left")
        for name in ("slurmctld", *(f"slurmd.{node}" for node in NODES), "munged"):
            if name in self.daemons:
                self.end(name)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one daemon, and wait until it is gone."""
        pid = self.daemons.pop(name)
        os.kill(pid, number)
        self.until(lambda: not Path(f"/proc/{pid}").exists(), f"{name} gone")

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
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

    def _daemon(self, name: str, command: Sequence[str]) -> None:
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        subprocess.run([program, *command[1:]], check=True, env={**os.environ, **self.environment})
        self.daemons[name] = self._number(self.folder / f"{name}.pid")

    def _number(self, file: Path) -> int:
        self.until(lambda: file.exists() and file.read_text().strip().isdigit(), str(file))
        return int(file.read_text())
