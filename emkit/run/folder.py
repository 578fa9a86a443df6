"""Where runs leave what has no other place: a folder for each, in the order of time."""

import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4


def runs_home() -> Path:
    """The folder of runs: $EMKIT_RUNS_DIR, else emkit/runs in the user's state folder (XDG)."""
    if named := os.environ.get("EMKIT_RUNS_DIR"):
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "emkit/runs"


def new_run_folder(name: str) -> Path:
    """A new folder for a run of this step; its name sorts by time and is never taken twice."""
    folder = runs_home() / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{name}-{uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder
