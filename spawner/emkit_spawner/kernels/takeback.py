"""Kernels, and jobs that wait for one, of the server that was here before: entered into the new server under their old ids.

By the public way, `start_kernel` with the old id: the provisioner finds the kernel's folder and continues it instead of submitting.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

from emkit_jobs.scheduler import SchedulerError
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_server.serverapp import ServerApp

from emkit_spawner.kernels import orphans
from emkit_spawner.kernels.launcher import read
from emkit_spawner.kernels.record import Owner, Record, kernel_folders

ANSWER_S = 10.0  # a kernel's control channel answers at any time
IDLE_S = 0.5  # its shell channel does not, while it computes


async def take_back_all(app: ServerApp, roots: list[Path], me: Owner) -> None:
    """Before the first request: a session whose kernel is unknown is dropped when sessions are listed."""
    for root in roots:
        for folder, record in kernel_folders(root):
            if record.server and not record.over and record.owner.gone(me):
                await _take_back(app, root, folder, record)


async def _take_back(app: ServerApp, root: Path, folder: Path, record: Record) -> None:
    try:
        if job_id := await _job_of_a_kernel(app, root, folder, record):
            replace(record, job_id=job_id).write(folder)
            await app.kernel_manager.start_kernel(kernel_id=record.kernel_id, kernel_name=record.kernel_name)
            app.log.info("Kernel %s, job %s, is taken back", record.kernel_id, job_id)
            app.io_loop.add_callback(_acquaint, app, record.kernel_id)
            return
    except (SchedulerError, NoSuchKernel) as error:
        app.log.warning("Kernel %s cannot be taken back: %s", record.kernel_id, error)
    replace(record, over=True).write(folder)  # ended by the sweep, as often as it takes


async def _job_of_a_kernel(app: ServerApp, root: Path, folder: Path, record: Record) -> str:
    """The job of a kernel that waits or runs without a server; empty for one that ended, or was never submitted."""
    specs: Any = app.kernel_spec_manager
    specs.get_kernel_spec(record.kernel_name)  # NoSuchKernel: the site offers it no more
    if "key" not in read(folder / "seed.json") or read(folder / "status.json").get("state") in ("exited", "ended"):
        return ""
    return await orphans.job_of(root, folder, record)


async def _acquaint(app: ServerApp, kernel_id: str) -> None:
    """Learn what Jupyter learns while it starts a kernel: what it is, and whether it computes.

    Jupyter asks on the shell channel, so that a page would wait for the end of a computation that its kernel is in.
    """
    manager: Any = app.kernel_manager.get_kernel(kernel_id)
    await asyncio.wait({manager.ready})
    if manager.ready.cancelled() or manager.ready.exception() is not None:
        return  # ended meanwhile, and told so
    client = manager.client()
    client.start_channels(iopub=False, stdin=False, hb=False)
    try:
        client.control_channel.send(client.session.msg("kernel_info_request"))
        client.kernel_info()
        told = await client.get_control_msg(timeout=ANSWER_S)
        info: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        info.set_result(told["content"])
        manager._kernel_info_future = info  # what jupyter_server keeps after it has asked: there is no public way to hand it over
        manager.execution_state = "busy"
        await client.get_shell_msg(timeout=IDLE_S)
        manager.execution_state = "idle"
    except Empty:
        app.log.info("Kernel %s computes, or does not answer: its state is %s", kernel_id, manager.execution_state)
    finally:
        client.stop_channels()
