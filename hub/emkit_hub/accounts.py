"""The Unix account of the dashboards, where this process may have one."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ACCOUNT = "emkit-dashboards"
_USE = "import os, sys, emkit_hub.dashboards.settings; [os.listdir(folder) for folder in sys.argv[1:]]"


def dashboards_account(folders: Iterable[Path]) -> str:
    """The account that the dashboards run under, made when it is missing; "" for the hub's own.

    Only root can start a process under another account, and that account must be able to run this Python and these packages and
    to read the dashboards' folders (it cannot when they lie below a home that is closed to others).
    """
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        return ""
    try:
        found = pwd.getpwnam(ACCOUNT)
    except KeyError:
        no_login = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        subprocess.run(["useradd", "--system", "--user-group", *no_login, ACCOUNT], check=True)
        found = pwd.getpwnam(ACCOUNT)
    tried = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys, emkit_hub.dashboards.settings; [os.listdir(folder) for folder in sys.argv[1:]]",
            *map(str, folders),
        ],
        user=found.pw_uid,
        group=found.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath},
        capture_output=True,
    )
    return ACCOUNT if tried.returncode == 0 else ""
