"""The spawner of a machine without a scheduler: `c.JupyterHub.spawner_class = "emkit-local"`."""

from pathlib import Path

from emkit_jobs.local import LocalScheduler
from emkit_jobs.scheduler import Scheduler
from traitlets import Float, Integer, Unicode

from emkit_spawner import routes
from emkit_spawner.base import JobSpawner


class LocalSpawner(JobSpawner):
    """Servers as jobs of this machine, all under the hub's own account: for people who may see each other's files."""

    ip = Unicode("127.0.0.1", help="Address the servers listen at.").tag(config=True)
    start_timeout = Integer(120, help="Seconds from a job's start until its server answers.").tag(config=True)
    startup_poll_interval = Float(0.2, help="Seconds between two looks at a job that starts.").tag(config=True)
    jobs_folder = Unicode(help="Where the jobs' folders are. Empty: ~/.local/state/emkit/jobs").tag(config=True)

    def scheduler(self) -> Scheduler:
        return LocalScheduler(Path(self.jobs_folder) if self.jobs_folder else Path.home() / ".local/state/emkit/jobs")


routes.install()
