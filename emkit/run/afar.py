"""Runs that are driven elsewhere: on a node, as a job, or on another machine that shares the file system.

On one machine the operating system's lock tells who drives a run. A shared file system may not carry locks, so two more signs
count beyond it: what the scheduler says of the run's job, and a heartbeat, the time of change of the lock's file, which the driver
renews. Nothing but positive evidence ends a run: the scheduler's word that the job has ended, or a driver on this very machine
that does not hold the lock.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BEAT_S = 5.0
SILENT_S = 60.0  # clocks of two machines may differ
QUEUED, STARTING, INTERRUPTED = "queued", "starting", "interrupted"


@contextmanager
def beating(lock: int) -> Iterator[None]:
    """Within: the file of this descriptor is as new as its driver is alive."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            with suppress(OSError):  # a full or lost disk; whoever writes there tells
                os.utime(lock)

    os.utime(lock)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def seen(said: Mapping[str, Any], job: Mapping[str, Any] | None, lock: Path) -> dict[str, Any]:
    """What is to be added to the state that a run has said, where nobody on this machine holds its lock."""
    if job:
        from emkit_jobs.scheduler import State

        from emkit.run import jobs

        found = jobs.look(job)
        match found.state:
            case State.PENDING:
                return {"state": QUEUED, "message": found.words}
            case State.FINISHED:
                return {"state": INTERRUPTED, "message": found.words}
            case State.RUNNING if said["state"] != QUEUED:
                return {}
            case State.RUNNING:
                return {"state": STARTING, "message": found.words}
            case State.UNKNOWN:
                return {"message": found.words}
    host = said.get("host") or socket.gethostname()
    if host == socket.gethostname() or not lock.exists():
        return {"state": INTERRUPTED}
    silent_s = time.time() - lock.stat().st_mtime
    if silent_s < SILENT_S:
        return {}
    return {
        "message": f"no sign of life from {host} for {silent_s:.0f} s. If that machine is gone for good, remove {lock} and resume."
    }


def is_mine(job: Mapping[str, Any] | None) -> bool:
    """Whether this process lives in that job."""
    return job is not None and job["id"] == os.environ.get("SLURM_JOB_ID")
