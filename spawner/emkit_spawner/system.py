"""What the hub knows of everybody's servers and of the scheduler, in one answer: for a page that serves all users."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from emkit_jobs.scheduler import Scheduler, State, Status
from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import Scope, needs_scope
from tornado import web

from emkit_spawner import metrics
from emkit_spawner.base import JobSpawner
from emkit_spawner.sessions import state_of

MOST_DETAILED = 500  # users; each costs the scheduler questions, though not at every tick


class SystemHandler(APIHandler):
    """GET api/emkit/system?of=USER&of=… with the scope read:servers for all users.

    `sessions` are all servers that are not stopped, or whose last start failed; those of the users in `of` are told with what they
    use, with the stopped ones and what their last sessions used, and with their accounts' other `jobs`. `counts` are those of the
    hub's metrics.
    """

    @needs_scope("read:servers")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        if self.parsed_scopes["read:servers"] is not Scope.ALL:
            raise web.HTTPError(403, "This tells of everybody: it needs the scope read:servers without a filter.")
        names = set(self.get_query_arguments("of")[:MOST_DETAILED])
        watched = [user for user in map(self.find_user, names) if user is not None]
        for user in watched:
            for name in {"", *user.orm_spawners}:
                user.get_spawner(name)  # a stopped server is known only after somebody has asked for it
        everybody = [spawner for user in self.users.values() for spawner in user.spawners.values()]
        spawners = [spawner for spawner in everybody if isinstance(spawner, JobSpawner)]
        told: dict[str, Any] = {"free": {}, "queue": None, "jobs": [], "sessions": [], "counts": _counts()}
        if spawners:
            scheduler = spawners[0].scheduler()
            told |= {
                "free": {name: free.shown() for name, free in (await scheduler.free()).items()},
                "queue": asdict(await scheduler.queue()),
                "jobs": [job for user in watched for job in await _jobs(user)],
                "sessions": [session async for session in _sessions(scheduler, spawners, names)],
            }
        self.write(json.dumps(told))


async def _sessions(scheduler: Scheduler, spawners: Iterable[JobSpawner], names: set[str]) -> Any:
    shown = [spawner for spawner in spawners if spawner.active or spawner.user.name in names or _failure(spawner)]
    statuses = await scheduler.query_many([spawner.job_id for spawner in shown if spawner.job_id])
    for spawner in shown:
        status = statuses.get(spawner.job_id, Status(State.UNKNOWN))
        yield await _session(spawner, status, detailed=spawner.user.name in names)


async def _jobs(user: Any) -> list[dict[str, Any]]:
    """Those of the user's account that are no servers, such as kernels on nodes; none where accounts are shared."""
    servers = [spawner for spawner in user.spawners.values() if isinstance(spawner, JobSpawner)]
    own = {spawner.job_id for spawner in servers}
    listed = await servers[0].scheduler().own_jobs() if servers else []
    return [{"user": user.name, **asdict(job)} for job in listed if job.job_id not in own]


async def _session(spawner: JobSpawner, status: Status, *, detailed: bool) -> dict[str, Any]:
    scheduler, job_id = spawner.scheduler(), spawner.job_id
    queued = status.state is State.PENDING
    waiting = await scheduler.waiting(job_id) if queued else None
    usage = await scheduler.usage(job_id) if detailed and status.state is State.RUNNING else None
    return {
        "user": spawner.user.name,
        "server": spawner.name,
        "state": state_of(spawner, queued=queued),
        "job_id": job_id,
        "profile": spawner.user_options.get("profile") or next(iter(spawner.open_profiles), ""),
        "node": status.node or status.host or "",
        "asked_at": spawner.record.asked_at,
        "ends_at": await scheduler.ends_at(job_id) if status.state is State.RUNNING else None,
        "waiting": waiting and asdict(waiting),
        "usage": usage and asdict(usage),
        "past": spawner.record.past if detailed else [],
        "error": _failure(spawner),
    }


def _failure(spawner: JobSpawner) -> str:
    """Why its last start failed: JupyterHub keeps a failed start until the next one. Empty: it did not."""
    start = spawner._spawn_future
    if start is None or spawner.active or not start.done() or start.cancelled() or start.exception() is None:
        return ""
    return str(getattr(start.exception(), "jupyterhub_message", start.exception()))


def _counts() -> dict[str, int]:
    """Of what an operator asks first."""
    asked = {
        "lost": metrics.ENDED,
        "orphans": metrics.WITHOUT_OWNER,
        "ending": metrics.LEDGER,
        "without_answer": metrics.WITHOUT_ANSWER,
    }
    return {name: round(next(iter(metric.collect())).samples[0].value) for name, metric in asked.items()}
