"""What an operator asks of the spawner, on the hub's own page `/hub/metrics`. Times are seconds."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from emkit_spawner.refusal import StartRefused

# a start takes seconds, or waits in the queue for a day
_BUCKETS = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, float("inf"))
OUTCOMES = ("up", "cancelled", "options", "user name", "account", "scheduler", "job", "queue", "timeout", "error")

SPAWNS = Histogram(
    "emkit_spawn_seconds",
    "From Start to a server that answers, or to why there is none: a reason of StartRefused, or cancelled by the user.",
    ["outcome"],
    buckets=_BUCKETS,
)
QUEUE = Histogram("emkit_queue_seconds", "From a job's submission to its start.", buckets=_BUCKETS)
ENDED = Counter("emkit_jobs_ended", "Jobs of running servers that ended without being asked to.")
WITHOUT_ANSWER = Counter("emkit_query_errors", "Questions about a server's job that the scheduler did not answer.")
WITHOUT_OWNER = Counter("emkit_jobs_without_owner", "Jobs of this hub that were found running with no server that owns them.")
LEDGER = Gauge("emkit_ledger_length", "Jobs that are to end, and whose end the scheduler has not confirmed yet.")

for outcome in OUTCOMES:  # a series that is not there yet cannot be told from one that is not measured
    SPAWNS.labels(outcome)


@contextmanager
def measured() -> Iterator[None]:
    """Around a start: count it by its outcome, with its time."""
    began, outcome = time.monotonic(), "error"
    try:
        yield
        outcome = "up"
    except StartRefused as refusal:
        outcome = str(refusal.reason)
        raise
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        SPAWNS.labels(outcome).observe(time.monotonic() - began)
