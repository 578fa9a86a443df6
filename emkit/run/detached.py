"""Runs that outlive whoever began them: in a session or in a job of their own, watched by anybody."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from emkit_jobs.offered import Offer
from emkit_jobs.scheduler import JOB_VARIABLE

from emkit.errors import EmkitError, TaskError
from emkit.progress import PERIOD_S, Cancelled, Tick, cancelled, tell
from emkit.run.folder import ENDINGS, RunFolder, State


def detach(folder: RunFolder) -> None:
    """Start a process that drives the run, or submit the job that does, as its place says."""
    lock = folder.lock()
    try:
        (folder.path / "cancel").unlink(missing_ok=True)
        if folder.place.kind == "slurm":
            _submit(folder)
        else:
            _start(folder, lock)
    finally:
        os.close(lock)


def _start(folder: RunFolder, lock: int) -> None:
    """It holds the run's lock from its first moment on, and prints into the run's log."""
    folder.say(State.STARTING)
    # a job's end takes along whatever bears its name; this is to stay
    environment = {name: value for name, value in os.environ.items() if name != JOB_VARIABLE}
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "emkit.runs", str(folder.path), str(lock)],
            pass_fds=[lock], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            cwd=Path(folder.path.anchor), env=environment,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay behind as a zombie of ours


def _submit(folder: RunFolder) -> None:
    """The job waits for the lock until its number is written down."""
    from emkit.run import jobs

    folder.say(State.QUEUED)
    offer = Offer.of_facts(folder.facts()["offer"])
    try:
        job_id = jobs.submit(folder.path, folder.log, offer)
    except EmkitError as refused:
        folder.say(State.FAILED, str(refused), exit_code=refused.exit_code)
        raise
    folder.note(job={"id": job_id, "slurm_conf": offer.slurm_conf})


def watch(folder: RunFolder) -> Iterator[Tick]:
    """How far each stage of a run is, then its progress as it comes; returns once the run has ended, or nobody drives it.

    While its job waits, that is what is told.
    """
    offset, waits = 0, ""
    while True:
        said = folder.said()
        ticks, offset = folder.events(offset) if offset else folder.stages()
        yield from ticks
        if said["state"] in (*ENDINGS, State.INTERRUPTED):
            return
        if said["state"] == State.QUEUED and said["message"] != waits:
            yield Tick(waits := said["message"], 0, None, "", 0.0)
        time.sleep(PERIOD_S)


def follow(folder: RunFolder) -> None:
    """Tell whoever listens how a run goes on that somebody else drives; returns when it is done. Whoever cancels, cancels it."""
    with ThreadPoolExecutor(1) as thread:  # the run may have nothing to tell for long
        ticks: SimpleQueue[Tick] = SimpleQueue()
        watching = thread.submit(_watch_into, folder, ticks)
        try:
            while not watching.done():
                with suppress(Empty):
                    tell(ticks.get(timeout=PERIOD_S))
                if cancelled():
                    raise Cancelled
        except Cancelled:
            folder.ask_to_cancel()
    check_done(folder)


def check_done(folder: RunFolder) -> None:
    """Raises what ended a run that somebody else drove, if that was not its own end."""
    said = folder.said()
    match said["state"]:
        case State.DONE:
            return
        case State.CANCELLED:
            raise Cancelled(said["message"] or "cancelled")
        case State.FAILED:
            raise TaskError(said["message"])
        case _:
            raise TaskError(f"Run {folder.id} was interrupted: nobody drives it any more. Go on with it: emkit resume {folder.id}")


def _watch_into(folder: RunFolder, ticks: "SimpleQueue[Tick]") -> None:
    for tick in watch(folder):
        ticks.put(tick)
