"""Who runs the matrix: our spawner, and plain batchspawner for the published comparison. Each is a hub's configuration."""

from dataclasses import dataclass, replace
from typing import Any

Options = dict[str, Any]

OURS_LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.patience_s = 8
c.SlurmSpawner.startup_poll_interval = 0.1
c.SlurmSpawner.sweep_s = 1
c.SlurmSpawner.home_folder = {home!r}
c.SlurmSpawner.profiles = {{
    "small": {{"title": "Small", "limits": {{"cpus": 2}}}},
    "nowhere": {{"title": "Nowhere", "partition": "nowhere"}},
    "closed": {{"title": "Closed", "partition": "closed"}},
}}
"""

# The users of the tests have no Unix accounts, so jobs run under the hub's own: the class says where their home is, and `env`
# stands where a site has `sudo -E -u {username}`, so that the user's name goes through the same shell.
PLAIN_LINES = """
from traitlets import default

class Plain(batchspawner.MultiSlurmSpawner):
    def user_env(self, env):
        return {{**env, "USER": self.user.name, "HOME": {home!r}, "SHELL": "/bin/bash"}}

    @default("req_homedir")
    def _req_homedir_default(self):
        return {home!r}

c.JupyterHub.spawner_class = Plain
c.BatchSpawnerBase.exec_prefix = "env EMKIT_USER={{username}}"
c.BatchSpawnerBase.startup_poll_interval = 0.1
c.BatchSpawnerBase.batchspawner_singleuser_cmd = {singleuser!r}
c.Plain.daemon_resolver = {addresses!r}
c.Spawner.env_keep = ["PATH", "SLURM_CONF"]
"""


# With Unix accounts, each spawner as its own documentation has it
OURS_AS_THE_USER = """
c.SlurmSpawner.sudo = True
c.SlurmSpawner.home_folder = ""
"""
PLAIN_AS_THE_USER = """
c.JupyterHub.spawner_class = batchspawner.MultiSlurmSpawner
c.MultiSlurmSpawner.daemon_resolver = {addresses!r}
c.BatchSpawnerBase.exec_prefix = "sudo -E -u {{username}}"
"""


@dataclass(frozen=True)
class Contender:
    """`refused`: options that sbatch refuses; `queued`: of a job that waits; `open`: of one that starts; `fields`: those known."""

    name: str
    lines: str
    lines_as_the_user: str
    patience_s: float  # for what the promise says must come
    start_timeout_s: int
    route: str  # below /hub/api, where a job reports
    refused: Options
    queued: Options
    open: Options
    fields: tuple[str, ...]

    def as_the_user(self) -> "Contender":
        """The same, with jobs under their users' own Unix accounts."""
        return replace(self, lines=self.lines + self.lines_as_the_user)


OURS = Contender(
    name="emkit-slurm",
    lines=OURS_LINES,
    lines_as_the_user=OURS_AS_THE_USER,
    patience_s=60,
    start_timeout_s=90,
    route="/emkit/job",
    refused={"profile": "nowhere"},
    queued={"profile": "closed"},
    open={"profile": "small"},
    fields=("profile", "cpus", "memory_mb", "gpus", "runtime", "partition", "options"),
)
PLAIN = Contender(
    name="batchspawner",
    lines=PLAIN_LINES,
    lines_as_the_user=PLAIN_AS_THE_USER,
    patience_s=30,
    start_timeout_s=20,
    route="/batchspawner",
    refused={"partition": "nowhere"},
    queued={"partition": "closed"},
    open={"partition": "crowd"},
    fields=("runtime", "partition", "options", "prologue", "nprocs", "memory"),
)
