"""The spawner of a cluster that Slurm schedules: `c.JupyterHub.spawner_class = "emkit-slurm"`."""

import pwd
from functools import cache
from pathlib import Path

from emkit_jobs.scheduler import Scheduler, SchedulerError
from emkit_jobs.slurm import Slurm, SlurmScheduler
from traitlets import Bool, Float, Unicode, default

from emkit_spawner import routes
from emkit_spawner.base import JobSpawner
from emkit_spawner.refusal import StartRefused

LOG_FAILED = "0:53"  # the exit code of a job that Slurm could not begin because its output file cannot be opened


@cache
def _shared(tick_s: float, outlook_s: float, slurm_conf: str) -> Slurm:
    """One for all spawners of a hub, so that one question serves everybody."""
    return Slurm({"SLURM_CONF": slurm_conf} if slurm_conf else {}, tick_s, outlook_s=outlook_s)


class SlurmSpawner(JobSpawner):
    """Servers as Slurm jobs, each under its user's Unix account."""

    sudo = Bool(
        True,
        help="""Submit and cancel as the user, through sudo. False: under the hub's own account, for people who may see each
        other's files.""",
    ).tag(config=True)
    slurm_conf = Unicode(help="Slurm's configuration file, where it is not at its usual place.").tag(config=True)
    tick_s = Float(2.0, help="Seconds for which one squeue answers for the jobs of all users.").tag(config=True)
    outlook_s = Float(20.0, help="Seconds for which one sinfo, and one test of a start, answer for all users.").tag(config=True)
    startup_poll_interval = Float(0.5, help="Seconds between two looks at a job that starts.").tag(config=True)
    ip = Unicode("0.0.0.0", help="Address the servers listen at, on their nodes.").tag(config=True)

    @property
    def slurm(self) -> Slurm:
        return _shared(self.tick_s, self.outlook_s, self.slurm_conf)

    def scheduler(self) -> Scheduler:
        account = self.user.name if self.sudo else None
        if self.home_trouble:
            return SlurmScheduler(self.slurm, account, self.sudo, log="/dev/null")
        return SlurmScheduler(self.slurm, account, self.sudo)

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
