"""Jobs of this hub that no server in its database owns are ended: the hub was killed, or the scheduler was, at a bad moment.

The scheduler's own list is the ledger: what it does not confirm as gone is found again at the next round.
"""

import asyncio
import logging
from typing import Any

from emkit_jobs.scheduler import Jobs, SchedulerError
from jupyterhub import orm
from sqlalchemy.exc import SQLAlchemyError

from emkit_spawner import metrics


async def sweep(scheduler: Jobs, database: Any, prefix: str, every_s: float, log: logging.Logger) -> None:
    """Look every `every_s` seconds for jobs whose name begins with `prefix`, for as long as the hub lives."""
    known: set[str] = set()  # of no owner, found in an earlier round
    while True:
        try:
            found = await scheduler.find(prefix)
            owned = {(spawner.state or {}).get("job_name") for spawner in database.query(orm.Spawner)}
        except SchedulerError as error:
            log.warning("Jobs that nobody owns are looked for again in %g s: %s", every_s, error)
        except SQLAlchemyError as error:
            database.rollback()
            log.error("Jobs that nobody owns are looked for again in %g s: the hub's database: %s", every_s, error)
        else:
            stray = found.keys() - owned
            metrics.WITHOUT_OWNER.inc(len(stray - known))
            metrics.LEDGER.set(len(stray))
            gone = await asyncio.gather(*(_end(scheduler, name, found[name], log) for name in stray))
            metrics.LEDGER.set(gone.count(False))
            known = set(stray)
        await asyncio.sleep(every_s)


async def _end(scheduler: Jobs, name: str, job_id: str, log: logging.Logger) -> bool:
    """Whether the scheduler has confirmed that it is gone."""
    log.warning("Cancelling job %s (%s): it is this hub's, but no server owns it", job_id, name)
    try:
        await scheduler.cancel(job_id)
    except SchedulerError as error:
        log.warning("Job %s, which nobody owns, is not gone yet: %s", job_id, error)
        return False
    return True
