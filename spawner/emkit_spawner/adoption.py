"""After the hub was killed: a server whose job runs is kept, one whose job waits or starts goes on doing so."""

import asyncio
from typing import TYPE_CHECKING

from emkit_jobs.scheduler import State

from emkit_spawner.refusal import StartRefused

if TYPE_CHECKING:
    from emkit_spawner.base import JobSpawner


async def adopt(spawner: "JobSpawner") -> str:
    """The server's address, once it answers. Until then it is a pending spawn: with its page, and with a way to cancel it.

    JupyterHub asks for this in its check of a server that it found in its database. Where there will be no server, that check has
    nothing left to do and would stop the user's next one if it went on: then this does not return.
    """
    resumed = asyncio.create_task(_resume(spawner))
    spawner._spawn_future, spawner._spawn_pending, spawner._check_pending = resumed, True, False
    await asyncio.wait({resumed})
    spawner._spawn_pending = False
    if not resumed.cancelled() and resumed.exception() is None:
        spawner._spawn_future = None
        spawner.keep_options()
        return str(spawner.server.url)
    spawner.forget_options()
    if resumed.cancelled():  # by the user, whose request stops it
        spawner._spawn_future = None
    else:
        await spawner.user.stop(spawner.name)
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def _resume(spawner: "JobSpawner") -> None:
    """As a start, from the job that is there."""
    while not spawner.job_id:  # `poll` could not ask the scheduler for it
        await asyncio.sleep(spawner.startup_poll_interval)
        if await spawner.poll() is not None:
            raise StartRefused("The hub was restarted before the scheduler had taken the job: start again.", reason="hub")
    status = await spawner.status()
    spawner.steps.add(10, "The hub was restarted; the job goes on")
    spawner.tell("resumed", user=spawner.user.name, server=spawner.name, state=status.state.value)
    if status.state is State.PENDING:  # what an earlier run of a requeued job has reported holds no more
        spawner.record.port = 0
    await spawner.until_up()
    spawner.serves_here()
    await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)
