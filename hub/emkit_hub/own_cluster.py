"""`scripts/up --slurm`: emkit on a machine that is its own cluster, with a real Slurm, for people who want to try it.

DATA/slurm/            the cluster: configuration, logs, keys
DATA/slurm/site.toml   the settings that the hub reads: those of the site's file, with what this cluster needs

Servers are jobs under a Unix account of their own where other accounts can run this Python, and of the hub's account elsewhere.
One node more, of the partition `busy`, is held by a job that nobody needs, five minutes at a time: who asks for that node waits.
"""

import os
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from emkit_jobs.slurm import Slurm, SlurmScheduler

from emkit_hub.accounts import owner_account
from emkit_hub.cluster import Cluster, ClusterError
from emkit_hub.data_folder import DataFolder
from emkit_hub.settings import Settings

PACKAGES = {"slurmctld": "slurm-wlm", "munged": "munge", "sudo": "sudo"}  # program → Debian's package
SYSTEM = "/usr/sbin"  # where Debian keeps daemons, and few people's PATH leads
NEIGHBOUR = "neighbour"
BUSY = "PartitionName=busy Nodes=em2 MaxTime=08:00:00 DefaultTime=00:10:00 State=UP"
HOLD = f"""\
#!/bin/bash
#SBATCH --job-name={NEIGHBOUR} --partition=busy --cpus-per-task=4 --time=5 --chdir=/ --output=/dev/null
sleep 285
exec sbatch "$0"
"""
_LIMITS = {"cpus": 4, "memory_mb": 5120, "runtime": "8:00:00"}
PROFILES: dict[str, dict[str, object]] = {
    "small": {
        "title": "Small",
        "description": "One core, at once.",
        **{"partition": "main", "cpus": 1, "memory_mb": 1536, "runtime": "2:00:00", "limits": _LIMITS},
    },
    "large": {
        "title": "Large",
        "description": "A whole node.",
        **{"partition": "main", "cpus": 4, "memory_mb": 5120, "runtime": "8:00:00", "limits": _LIMITS},
    },
    "queued": {
        "title": "Behind a neighbour",
        "description": "On a node that another job holds for up to five minutes: shows what waiting looks like.",
        **{"partition": "busy", "cpus": 1, "memory_mb": 1536, "runtime": "2:00:00"},
    },
}


class ServerJob(NamedTuple):
    """A server's job as squeue tells it."""

    number: str
    state: str
    account: str
    node: str
    reason: str


@dataclass(frozen=True)
class OwnCluster:
    """What runs: `account` is that of the owner's servers, "" for the hub's own."""

    cluster: Cluster
    settings: Settings
    settings_file: Path
    account: str

    def servers(self) -> SlurmScheduler:
        return SlurmScheduler(Slurm(self.cluster.environment, tick_s=0.2))

    def jobs(self) -> list[ServerJob]:
        """The servers' jobs that have not ended."""
        lines = self.cluster.run("squeue", "--noheader", "--format=%i|%T|%u|%N|%r|%j").splitlines()
        found = [line.split("|") for line in lines]
        return [ServerJob(*words) for *words, name in found if name != NEIGHBOUR]

    def told(self) -> list[str]:
        """Lines for the welcome."""
        who = f"the account {self.account}" if self.account else "root: other accounts cannot run this Python"
        conf = self.cluster.environment["SLURM_CONF"]
        return [f"  Slurm            servers are its jobs, as {who}", f"                   to look: SLURM_CONF={conf} squeue"]


@contextmanager
def own_cluster(folder: DataFolder, settings_file: Path | None) -> Iterator[OwnCluster]:
    """Within: a Slurm runs in `folder`; all its jobs end with it.

    ClusterError when it cannot run here; SettingsError for a file that cannot be used.
    """
    check_possible(folder)
    account = owner_account(Settings.read(settings_file).owner)
    if account:
        shutil.chown(folder.home, account, account)
    cluster = Cluster(folder.path / "slurm", lines=BUSY)
    try:
        cluster.start()
        if NEIGHBOUR not in cluster.run("squeue", "--noheader", "--format=%j").split():
            (cluster.folder / "hold").write_text(HOLD)
            cluster.run("sbatch", str(cluster.folder / "hold"))
        given = tomllib.loads(settings_file.read_text()) if settings_file is not None else {}
        file = cluster.folder / "site.toml"
        file.write_text(tomli_w.dumps(fitted(given, folder, cluster, account)))
        yield OwnCluster(cluster, Settings.read(file), file, account)
    finally:
        cluster.stop()


def fitted(given: dict[str, Any], folder: DataFolder, cluster: Cluster, account: str) -> dict[str, Any]:
    """A site's settings as they must be on this cluster; what the site chose itself of the rest stays."""
    whose = f"under the Unix account {account}" if account else "under the hub's own account"
    return {
        "announcement": f"This hub tries a Slurm of its own machine: servers are its jobs, {whose}.",
        "profiles": PROFILES,
        **given,
        "spawner": "emkit-slurm",
        "one_account": not account,
        "lab": {"home": str(folder.home), **given.get("lab", {})},
        "slurm": {"conf": cluster.environment["SLURM_CONF"], "sudo": bool(account), "listen": "127.0.0.1"},
        **({"owner": account} if account else {}),
    }


def check_possible(folder: DataFolder) -> None:
    if os.geteuid() != 0:
        raise ClusterError("--slurm starts a real Slurm, which runs jobs as their users and so needs root: sudo scripts/up --slurm")
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM))
    if missing := [package for program, package in PACKAGES.items() if not shutil.which(program, path=places)]:
        raise ClusterError(
            f"Missing on this machine: {' '.join(missing)}. Type: apt-get install -y --no-install-recommends {' '.join(missing)}"
        )
    if any(letter.isspace() or letter in "#=,[]%" for letter in str(folder.path)):
        raise ClusterError(
            f"Slurm's configuration cannot hold the name {folder.path}: use another folder, without spaces: --data FOLDER"
        )
