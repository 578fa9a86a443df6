"""A kernel's folder as its launcher finds it, and its job."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job
from emkit_jobs.script import Verbatim, render

from emkit_spawner.kernels import launcher

KEPT_VARIABLES = ("LANG", "LC_ALL", "TZ")  # of the server's environment, which holds tokens
# Requeued after a lost node or a preemption it would start a kernel with empty memory, as if nothing had happened.
SCRIPT = """\
#!/bin/bash
#SBATCH --no-requeue
{{ prologue }}
exec {{ command }}
"""


def prepare(folder: Path, seed: Mapping[str, Any]) -> None:
    """Make the folder, 0700, with the launcher and what it has to know. OSError where it cannot be written."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    launcher.write(folder / "seed.json", dict(seed))
    launcher.write(folder / "status.json", {})  # here before the job is: a new name may stay hidden from it for a while on NFS
    (folder / "launcher.py").write_bytes(Path(launcher.__file__).read_bytes())


def job(name: str, folder: Path, python: str, prologue: str, environment: Mapping[str, str], resources: Resources) -> Job:
    """The job that runs the launcher in `folder`. Its environment is made anew; `environment` is the site's part of it."""
    account = pwd.getpwuid(os.getuid())
    return Job(
        name=name,
        script=render(SCRIPT, prologue=Verbatim(prologue), command=[python, folder / "launcher.py", folder]),
        folder=folder,
        environment={
            "HOME": str(Path.home()),  # a site may give its servers another than the account's
            "USER": account.pw_name,
            "LOGNAME": account.pw_name,
            "SHELL": account.pw_shell,
            "PATH": f"{Path(python).parent}:{os.environ.get('PATH', os.defpath)}",  # with the site's own commands, sbatch too
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a warning of the debugger's in every job's log
            **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            **environment,
        },
        resources=resources,
    )
