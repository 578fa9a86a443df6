"""Kernels on nodes for the users of this hub: a site's file of kernels, written out where their servers find it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from emkit_hub.settings import SettingsError


def offer(file: Path, prefix: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with what a server needs to offer the kernels in `file`, which are written below `prefix`, for all to read.

    SettingsError with the reason when the file cannot be used.
    """
    command = [sys.executable, "-m", "emkit_spawner.kernels", "install", str(file), f"--prefix={prefix}"]
    done = subprocess.run(command, capture_output=True, text=True, umask=0o022)
    if done.returncode:
        raise SettingsError(done.stderr.strip())
    added = {"JUPYTER_PATH": prefix / "share/jupyter", "JUPYTER_CONFIG_PATH": prefix / "etc/jupyter"}
    return {**environment, **{name: os.pathsep.join([str(path), *_given(environment, name)]) for name, path in added.items()}}


def _given(environment: Mapping[str, str], name: str) -> list[str]:
    return [environment[name]] if environment.get(name) else []
