"""Slurm, through its own commands: argument lists, never a shell; texts that people typed never stand among them unchecked.

- *One question for all.* Whoever asks for a job within `tick_s` gets the answer of one `squeue` for everybody's jobs.
- *Dead needs evidence.* A terminal state that squeue, scontrol or (where the site has accounting) sacct tells, or scontrol's
  "Invalid job id". A job that squeue does not list is only suspect; a command that fails makes its jobs UNKNOWN.
- *Secrets.* A job's environment reaches sbatch as its own environment, and only the names stand on its command line.

With `sudo`, submitting and cancelling run as the job's user, everything else as the caller.
"""

from emkit_jobs.slurm.cluster import Slurm
from emkit_jobs.slurm.commands import CommandError
from emkit_jobs.slurm.scheduler import SlurmScheduler, options

__all__ = ["CommandError", "Slurm", "SlurmScheduler", "options"]
