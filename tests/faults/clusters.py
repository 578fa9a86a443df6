"""The Slurms of the matrix: one on the network of its host, and one whose nodes have a network each and whose jobs are accounted.

Both are real and can lose a node. The second needs Debian's packages slurmdbd, mariadb-server and iproute2, and is for campaigns.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from emkit_hub.cluster import NODES, Cluster
from emkit_hub.data_folder import free_ports

# Stub servers need no core of their own: a crowd of them fits on the nodes by its memory
CROWDED = "PartitionName=crowd Nodes=em[1-3] OverSubscribe=FORCE:40 MaxTime=01:00:00 DefaultTime=00:10:00 State=UP"


class OneHost(Cluster):
    """`address`: where jobs reach the hub; `nodes`: where the hub reaches them."""

    title = "one host"
    address = "127.0.0.1"

    def __init__(self, folder: Path, lines: str = "", *, use_every_s: int = 1) -> None:
        super().__init__(folder, use_every_s=use_every_s, lines=f"{CROWDED}\n{lines}")
        self.nodes = dict.fromkeys(NODES, self.address)

    def kill_node(self, name: str) -> None:
        """The node is gone with everything on it: its daemon, the supervisors of its jobs, and the jobs."""
        jobs = self.run("squeue", "--noheader", f"--nodelist={name}", "--format=%i").split()
        doomed = self._of_jobs(name, jobs)
        self.end(f"slurmd.{name}")
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)

    def _of_jobs(self, name: str, jobs: list[str]) -> list[int]:
        ours, there = os.fsencode(self.environment["SLURM_CONF"]), f"SLURMD_NODENAME={name}".encode()
        supervisors = {f"slurmstepd: [{job}.".encode() for job in jobs}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if ours in environment and (there in environment.split(b"\0") or any(map(command.startswith, supervisors))):
                found.append(int(process.name))
        return found


DATABASE_DAEMON = """\
AuthType=auth/munge
AuthInfo={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
ACCOUNTED = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
"""


class Namespaces(OneHost):
    """Each node a network namespace with its own address and host name, on a bridge of this machine."""

    database: subprocess.Popen[bytes] | None = None

    title = "namespaces"

    def __init__(self, folder: Path) -> None:
        self.number = os.getpid() % 200  # two runs on one machine have a bridge each
        self.address = f"10.77.{self.number}.1"
        port, self.database_port = free_ports(2)
        super().__init__(folder, ACCOUNTED.format(folder=folder, port=port))
        self.nodes = {name: f"10.77.{self.number}.{11 + i}" for i, name in enumerate(NODES)}
        text = (folder / "slurm.conf").read_text().replace("(127.0.0.1)", f"({self.address})", 1)
        text = text.replace(",NoCtldInAddrAny", "")  # it would listen where the host's own name leads: nodes come over the bridge
        for name, address in self.nodes.items():
            text = re.sub(rf"(NodeName={name}) NodeHostname=\S+ NodeAddr=\S+ Port=\d+", rf"\1 NodeAddr={address}", text)
        (folder / "slurm.conf").write_text(text)
        file = folder / "slurmdbd.conf"
        file.touch(mode=0o600)
        file.write_text(
            DATABASE_DAEMON.format(folder=folder, host=socket.gethostname(), port=port, database_port=self.database_port)
        )
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{at} {name}\n" for name, at in self.nodes.items()))

    def start(self) -> None:
        if not Path(f"/sys/class/net/{self.bridge}").exists():
            self._connect()
        super().start()

    def start_controller(self) -> None:
        if "slurmdbd" not in self.daemons:
            self._start_accounting()
        super().start_controller()

    def start_node(self, name: str) -> None:
        subprocess.run(["ip", "link", "set", self._link(name), "up"], check=True)
        inside = 'hostname "$0"; mount --bind "$1" /etc/hosts; exec "$2" -N "$0"'
        slurmd = shutil.which("slurmd") or "/usr/sbin/slurmd"
        enter = ["nsenter", f"--net=/run/netns/{self._space(name)}", "unshare", "--mount", "--uts"]
        self._begin(f"slurmd.{name}", [*enter, "bash", "-c", inside, name, str(self.folder / "hosts"), slurmd], self.environment)

    def kill_node(self, name: str) -> None:
        """The cable too: nothing says that a connection is closed."""
        subprocess.run(["ip", "link", "set", self._link(name), "down"], check=True)
        self.daemons.pop(f"slurmd.{name}")
        told = subprocess.run(["ip", "netns", "pids", self._space(name)], check=True, capture_output=True, text=True).stdout
        for pid in told.split():
            os.kill(int(pid), signal.SIGKILL)

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            if (file := self.folder / "slurmdbd.pid").exists():
                self.daemons["slurmdbd"] = int(file.read_text())
                self.end("slurmdbd", signal.SIGTERM)
            if self.database is not None:
                self.database.terminate()
                self.database.wait()  # a child that nobody waits for stays in the table of processes
            for name in NODES:
                subprocess.run(["ip", "netns", "delete", self._space(name)], check=True)
            subprocess.run(["ip", "link", "delete", self.bridge], check=True)

    @property
    def bridge(self) -> str:
        return f"emkit{self.number}"

    def _space(self, name: str) -> str:
        return f"{self.bridge}-{name}"

    def _link(self, name: str) -> str:
        return f"{self.bridge}{name}"

    def _connect(self) -> None:
        def ip(words: str) -> None:
            subprocess.run(["ip", *words.split()], check=True)

        ip(f"link add {self.bridge} type bridge")
        ip(f"address add {self.address}/24 dev {self.bridge}")
        ip(f"link set {self.bridge} up")
        for name, address in self.nodes.items():
            space = self._space(name)
            ip(f"netns add {space}")
            ip(f"link add {self._link(name)} type veth peer name eth0 netns {space}")
            ip(f"link set {self._link(name)} master {self.bridge} up")
            ip(f"-n {space} link set lo up")
            ip(f"-n {space} address add {address}/24 dev eth0")
            ip(f"-n {space} link set eth0 up")

    def _start_accounting(self) -> None:
        """A database server of its own, and Slurm's daemon in front of it."""
        (data := self.folder / "database").mkdir()
        shutil.chown(data, "mysql")
        install = ["mariadb-install-db", "--user=mysql", f"--datadir={data}", "--skip-test-db"]
        subprocess.run([*install, "--auth-root-authentication-method=socket"], check=True, stdout=subprocess.DEVNULL)
        options = [f"--datadir={data}", f"--socket={data}/socket", f"--port={self.database_port}", "--bind-address=127.0.0.1"]
        options += [f"--pid-file={data}/pid", f"--log-error={data}/log", "--innodb-buffer-pool-size=64M"]
        self.database = subprocess.Popen(["/usr/sbin/mariadbd", "--no-defaults", "--user=mysql", *options], start_new_session=True)
        client = ["mariadb", f"--socket={data}/socket"]

        def answers() -> bool:
            return subprocess.run([*client, "--execute=select 1"], capture_output=True).returncode == 0

        self.until(answers, "the database answers")
        grant = "create database slurm_acct_db; grant all on slurm_acct_db.* to slurm@'127.0.0.1' identified by 'slurm'"
        subprocess.run([*client, f"--execute={grant}"], check=True)
        self._begin("slurmdbd", ["/usr/sbin/slurmdbd"], self.environment)
        self.until(lambda: "emkit" in self._clusters(), "accounting knows the cluster")

    def _clusters(self) -> str:
        environment = {**os.environ, **self.environment}
        subprocess.run(["sacctmgr", "--immediate", "add", "cluster", "emkit"], env=environment, capture_output=True)
        shown = ["sacctmgr", "--noheader", "--parsable2", "show", "cluster", "format=cluster"]
        return subprocess.run(shown, env=environment, capture_output=True, text=True).stdout
