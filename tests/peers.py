"""Other programs that cannot share our environment, each in one of its own, made once and kept in build/peers."""

import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parents[1] / "build/peers"


def python_with(*requirements: str) -> Path:
    """The Python of an environment that has these packages, pinned as `name==version`. Made anew if it was left half made."""
    folder = PEERS / "-".join(requirements).replace("==", "-")
    if not (ready := folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *requirements], check=True)
        ready.touch()
    return folder / "bin/python"
