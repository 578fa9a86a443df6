"""The spawner of a cluster that Slurm schedules: `c.JupyterHub.spawner_class = "emkit-slurm"`."""

import pwd
import shlex
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

from emkit_jobs.scheduler import Scheduler, SchedulerError
from emkit_jobs.slurm import Slurm, SlurmScheduler
from tornado.netutil import is_valid_ip
from traitlets import Bool, Float, Unicode, default

from emkit_spawner import routes
from emkit_spawner.base import JobSpawner
from emkit_spawner.refusal import StartRefused

LOG_FAILED = "0:53"  # the exit code of a job that Slurm could not begin because its output file cannot be opened


@cache
def _shared(tick_s: float, outlook_s: float, patience_s: float, slurm_conf: str) -> Slurm:
    """One for all spawners of a hub, so that one question serves everybody."""
    return Slurm({"SLURM_CONF": slurm_conf} if slurm_conf else {}, tick_s, outlook_s=outlook_s, patience_s=patience_s)


class SlurmSpawner(JobSpawner):
    """Servers as Slurm jobs, each under its user's Unix account."""

    sudo = Bool(
        True,
        help="""Submit and cancel as the user, through sudo. False: under the hub's own account, for people who may see each
        other's files.""",
    ).tag(config=True)
    slurm_conf = Unicode(help="Slurm's configuration file, where it is not at its usual place.").tag(config=True)
    tick_s = Float(2.0, help="Seconds for which one squeue answers for the jobs of all users.").tag(config=True)
    outlook_s = Float(10.0, help="Seconds for which one sinfo, and one test of a start, answer for all users.").tag(config=True)
    patience_s = Float(
        20.0,
        help="""Seconds that one of Slurm's commands may take. When munge or the controller is down they would take a minute; after
        this time whoever pressed Start is told, and a submission that comes through later is cancelled.""",
    ).tag(config=True)
    startup_poll_interval = Float(0.5, help="Seconds between two looks at a job that starts.").tag(config=True)
    ip = Unicode("0.0.0.0", help="Address the servers listen at, on their nodes.").tag(config=True)

    req_qos = Unicode(help="Quality of service of the jobs.").tag(config=True)
    req_reservation = Unicode(help="Reservation in which the jobs run.").tag(config=True)
    req_gres = Unicode(help="Generic resources, as sbatch's --gres takes them.").tag(config=True)
    req_srun = Unicode(help="What stands before the server's command: srun was batchspawner's default.").tag(config=True)

    def server_command(self) -> list[str]:
        return [*shlex.split(self.req_srun), *super().server_command()]

    def directives(self) -> str:
        asked = {"--qos": self.req_qos, "--reservation": self.req_reservation, "--gres": self.req_gres}
        lines = [f"#SBATCH {name}={value}" for name, value in asked.items() if value]
        return "\n".join([*lines, *(f"#SBATCH {line}" for line in self.req_options.splitlines() if line.strip())])

    @property
    def slurm(self) -> Slurm:
        return _shared(self.tick_s, self.outlook_s, self.patience_s, self.slurm_conf)

    def scheduler(self) -> Scheduler:
        account = self.user.name if self.sudo else None
        if self.home_trouble:
            return SlurmScheduler(self.slurm, account, self.sudo, log="/dev/null")
        return SlurmScheduler(self.slurm, account, self.sudo)

    @default("ssl_alt_names")
    def _names_of_nodes(self) -> "Callable[[SlurmSpawner], Awaitable[list[str]]]":
        return SlurmSpawner.node_names

    async def node_names(self) -> list[str]:
        """What a certificate must be good for when nobody knows yet on which node its server will run: all of their addresses."""
        try:
            addresses = set((await self.slurm.run("sinfo", "--noheader", "--all", "--Node", "--format=%o")).split())
        except SchedulerError as error:
            raise StartRefused(f"Slurm does not tell its nodes' addresses: {error}", reason="scheduler", status_code=503) from error
        return sorted(f"{'IP' if is_valid_ip(address) else 'DNS'}:{address}" for address in addresses)

    async def home_kept_it_out(self) -> str:
        try:
            code = (await self.slurm.show(self.job_id)).get("ExitCode", "")
        except SchedulerError:
            return ""
        return f"Slurm could not write the job's log in your home {self.req_homedir}." if code == LOG_FAILED else ""

    @default("req_homedir")
    def _home(self) -> str:
        if self.home_folder or not self.sudo:
            return self.format_string(self.home_folder) if self.home_folder else str(Path.home())
        try:
            return pwd.getpwnam(self.user.name).pw_dir
        except KeyError as error:
            raise StartRefused(
                f"{self.user.name} has no Unix account here, and a job needs one. Ask the administrator.", reason="account"
            ) from error


routes.install()
