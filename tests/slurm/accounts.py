"""Unix accounts of a test's own, and a sudoers file for them; all are gone at its end."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from emkit_hub.sudoers import sudoers

SUDOERS = Path("/etc/sudoers.d")


@dataclass(frozen=True)
class Accounts:
    """`hub` may submit as `ann` and `bob`, who are members of `group`, not as `eve`."""

    hub: str
    group: str
    ann: str
    bob: str
    eve: str
    homes: Path
    environment: Mapping[str, str]  # what Slurm's commands need

    def password(self, name: str, password: str) -> None:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every account can pass; pytest's own are closed anew by each run of it."""
    with tempfile.TemporaryDirectory(prefix="emkit-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def accounts(homes: Path, environment: Mapping[str, str]) -> Iterator[Accounts]:
    """Real accounts with homes of mode 0700 below `homes`. Needs root."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("makes Unix accounts, which needs root")
    tail = secrets.token_hex(3)
    made = Accounts(f"emkhub{tail}", f"emkgrp{tail}", f"emkann{tail}", f"emkbob{tail}", f"emkeve{tail}", homes, environment)
    subprocess.run(["groupadd", made.group], check=True)
    try:
        for name in (made.hub, made.ann, made.bob, made.eve):
            groups = {made.hub: ["--groups", "shadow"], made.eve: []}.get(name, ["--groups", made.group])
            subprocess.run(
                ["useradd", "--create-home", "--home-dir", str(homes / name), "--shell", "/bin/bash", *groups, name],
                check=True,
                capture_output=True,
            )
            (homes / name).chmod(0o700)
        yield made
    finally:
        for name in (made.hub, made.ann, made.bob, made.eve):
            subprocess.run(["userdel", name], check=False, capture_output=True)
        subprocess.run(["groupdel", made.group], check=False, capture_output=True)


@contextmanager
def allowed(made: Accounts, log: Path) -> Iterator[str]:
    """Within: the file of `emkit-hub sudoers` holds for these accounts, and sudo writes to `log`. Yields its text."""
    text = sudoers(made.hub, made.group)
    file = SUDOERS / f"emkit-test-{made.hub}"
    new = file.with_suffix(".new")  # sudo reads no file with a dot in its name: nobody's sudo meets one that is half written
    try:
        new.touch(mode=0o440)
        new.write_text(f"{text}Defaults:{made.hub} logfile={log}\n")
        new.rename(file)
        yield text
    finally:
        new.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
