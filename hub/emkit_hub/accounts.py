"""Unix accounts of the dashboards and of an owner's servers, where this process may have them."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

DASHBOARDS, OWNER = "emkit-dashboards", "emkit-owner"
EXISTS = 9  # useradd's exit code
_USE = "import os, sys, emkit_hub.dashboards.settings; [os.listdir(folder) for folder in sys.argv[1:]]"


def dashboards_account(folders: Iterable[Path]) -> str:
    """The account that the dashboards run under, made when it is missing; "" for the hub's own.

    Only root can start a process under another account, and that account must be able to run this Python and these packages and
    to read the dashboards' folders (it cannot when they lie below a home that is closed to others).
    """
    return _usable(DASHBOARDS, folders)


def owner_account(name: str) -> str:
    """The account that the owner's servers run under: `name` where there is one, else one made for it; "" for the hub's own.

    It has the same needs as that of the dashboards.
    """
    try:
        known = pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        known = False
    return _usable(name if known else OWNER, ())


def _usable(account: str, folders: Iterable[Path]) -> str:
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        return ""
    try:
        found = pwd.getpwnam(account)
    except KeyError:
        no_login = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        done = subprocess.run(["useradd", "--system", "--user-group", *no_login, account])
        if done.returncode != EXISTS:  # another hub may have made it at the same moment
            done.check_returncode()
        found = pwd.getpwnam(account)
    tried = subprocess.run(
        [sys.executable, "-c", _USE, *map(str, folders)],
        user=found.pw_uid,
        group=found.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath},
        capture_output=True,
    )
    return account if tried.returncode == 0 else ""
