"""`emkit-hub sudoers`: the file that lets the hub's account submit and cancel the jobs of its users, and nothing else.

SETENV is needed because a job gets its token through sbatch's environment; a command line could be read by everybody.
"""

import re
import shutil

COMMANDS = ("sbatch", "scancel")
NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_FILE = """\
# Made by `emkit-hub sudoers`. Where to put it: /etc/sudoers.d/emkit-hub, owner root, mode 0440; then try it: visudo -c
# {account} may run these two commands as a member of the group {group}: never as root, never another command.
# Root and accounts of the system must not be members of {group}.
Cmnd_Alias EMKIT_JOBS = {commands}
Defaults!EMKIT_JOBS !requiretty
{account} ALL=(%{group}) NOPASSWD:SETENV: EMKIT_JOBS
"""


class SudoersError(ValueError):
    """A file that cannot be made: what is wrong, and what to do."""


def sudoers(account: str, group: str, *, path: str | None = None) -> str:
    """The text of the file, for Slurm's commands as they are found on `path` (default: where people find them)."""
    for what, name in (("account", account), ("group", group)):
        if not NAME.fullmatch(name):
            raise SudoersError(f"{name!r} is no name of a Unix {what}: small letters, digits and _ . - only.")
    if account == "root":
        raise SudoersError("A hub that runs as root needs no sudoers file. Name the account of the hub: --account NAME")
    found = {name: shutil.which(name, path=path) for name in COMMANDS}
    if missing := [name for name, place in found.items() if place is None]:
        raise SudoersError(
            f"{', '.join(missing)} cannot be found here: run this on the hub's host, with Slurm's commands on the path."
        )
    commands = ", ".join(re.sub(r"([,:=\\ ])", r"\\\1", str(place)) for place in found.values())
    return _FILE.format(account=account, group=group, commands=commands)
