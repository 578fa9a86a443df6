"""A server for somebody whose home or settings would keep them out: it reads nothing of the home, and says why.

Standard library only: it stands before every start, in the first process of a job (`emkit_spawner.singleuser`).
"""

import errno
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

REASON = "EMKIT_RESCUE"  # why this server starts without the user's own settings; shown in Lab
FAILED = "EMKIT_FAILED"  # set by the job script, which tries again: how the server ended
SCRATCH = "EMKIT_SCRATCH"  # the job's own folder, which the job script removes at the end
NEEDED_BYTES = 256 * 1024  # what a server and one notebook write before anybody has typed anything
SHOWN_CHARACTERS = 500
TAIL_BYTES = 4000
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*:")
_IN_WORDS = {
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "your quota is reached",
    errno.EROFS: "it is read-only",
    errno.EACCES: "you may not write there",
    errno.ENOENT: "there is no such folder",
}
# what leads programs into the home, or out of the tested environment
_DROPPED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "BASH_ENV", "ENV", "JUPYTER_PATH")
_FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_SETTINGS = {"ServerApp": {"terminado_settings": {"shell_command": ["/bin/bash", "--noprofile", "--norc"]}}}


def reason(environment: Mapping[str, str]) -> str:
    """Why this start must do without the home; empty: it need not."""
    if REASON in environment:
        return environment[REASON]
    if FAILED in environment:
        return f"With your own settings the server ended with exit code {environment[FAILED]}.{_last_words()}"
    home = environment.get("HOME", "")
    what = trouble(Path(home))
    return f"Your home {home} cannot be used: {what}. Free some space or ask the administrator; work elsewhere." if what else ""


def trouble(home: Path) -> str:
    """What keeps a server from working in `home`, found by trying; empty when nothing does."""
    trial = home / f".emkit-trial-{os.getpid()}"
    try:
        handle = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, bytes(NEEDED_BYTES))
            os.fsync(handle)  # over NFS a quota speaks up only here
        finally:
            os.close(handle)
            os.unlink(trial)
    except OSError as error:
        return _IN_WORDS.get(error.errno or 0, error.strerror or str(error))
    return ""


def _last_words() -> str:
    """The last lines of the job's log that name an error (and its cause), or the last one; empty where the log is no file."""
    try:
        with open(os.readlink("/proc/self/fd/2"), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    told = [line.strip() for line in lines if line.strip()]
    errors = [line for line in told if _ERROR.match(line)]
    return f" It said: {' / '.join(errors[-2:] or told[-1:])[:SHOWN_CHARACTERS]}" if told else ""


def scratch() -> Path:
    """A folder of this job alone, on the node's own disk."""
    if SCRATCH not in os.environ:  # a site's own job script may not make one
        os.environ[SCRATCH] = tempfile.mkdtemp(prefix="emkit-")
    return Path(os.environ[SCRATCH])


def environment(why: str, inherited: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`inherited` without anything that leads into the home; `folder` takes what Jupyter, IPython and others write."""
    kept = {name: value for name, value in inherited.items() if name not in _DROPPED}
    folders = {name: folder / name.lower() for name in _FOLDERS}
    for path in folders.values():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folders["JUPYTER_CONFIG_DIR"] / "jupyter_server_config.json").write_text(json.dumps(_SETTINGS))
    home = inherited.get("HOME", "")
    root = home if os.access(home, os.R_OK | os.X_OK) else str(folder)
    return {
        **kept,
        **{name: str(path) for name, path in folders.items()},
        "JUPYTERHUB_ROOT_DIR": inherited.get("JUPYTERHUB_ROOT_DIR") or root,
        "PYTHONNOUSERSITE": "1",
        REASON: why,
    }
