"""Runs that outlive whoever began them: started in a session of their own, watched by anybody."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from emkit_jobs.scheduler import JOB_VARIABLE

from emkit.progress import PERIOD_S, Tick
from emkit.run.folder import ENDINGS, RunFolder, State


def detach(folder: RunFolder) -> None:
    """Start a process that drives the run. It holds the run's lock from its first moment on, and prints into the run's log."""
    lock = folder.lock()
    try:
        (folder.path / "cancel").unlink(missing_ok=True)
        folder.say(State.STARTING)
        # a job's end takes along whatever bears its name; this is to stay
        environment = {name: value for name, value in os.environ.items() if name != JOB_VARIABLE}
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "emkit.runs", str(folder.path), str(lock)],
                pass_fds=[lock], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=Path(folder.path.anchor), env=environment,
            )  # fmt: skip
    finally:
        os.close(lock)
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay behind as a zombie of ours


def watch(folder: RunFolder) -> Iterator[Tick]:
    """How far each stage of a run is, then its progress as it comes; returns once the run has ended, or nobody drives it."""
    offset = 0
    while True:
        state = folder.state
        ticks, offset = folder.events(offset) if offset else folder.stages()
        yield from ticks
        if state in (*ENDINGS, State.INTERRUPTED):
            return
        time.sleep(PERIOD_S)
