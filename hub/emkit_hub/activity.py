"""In the user's server: what works there now, and since when nothing does. `emkit_hub.culling` asks.

The hub's own `last_activity` tells neither: an open page of JupyterLab asks its server every few seconds, which counts as activity,
and a computation that prints nothing, a step in a thread of its kernel, or a program in a terminal count as none.

    GET api/emkit/activity  →  {"kernels": [ID…], "terminals": {"open": 2, "running": 1}, "processes": ["make"…], "idle_s": 12.5}

*Kernels* are those that execute or start, one that waits in the scheduler's queue included. *Processes* used more than BUSY of a
core since the last question: below kernels and terminals, or left running by one that has ended. `idle_s`: since the last output of
a kernel, output or key in a terminal, or change of a file, whichever was last.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psutil
from emkit_jobs.processes import carrying
from emkit_jobs.scheduler import JOB_VARIABLE
from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

ROUTE = "api/emkit/activity"
FILES = "https://events.jupyter.org/jupyter_server/contents_service/v1"
LOOKED_AT = "get"  # the only event of a file that changes nothing
BUSY = 0.05  # of a core; a kernel that waits uses less than a tenth of that
AT_REST = ("idle", "dead", "terminating")


class Activity:
    """Of one server. Asked twice, it tells of the time between."""

    def __init__(self, server: ServerApp) -> None:
        self._server = server
        self._files_at = 0.0
        self._asked_at, self._used = time.monotonic(), self._cpu_times()

    def told(self) -> dict[str, Any]:
        terminals = self._terminals()
        running = [terminal for terminal in terminals if _children(terminal.ptyproc.pid)]
        return {
            "kernels": [one["id"] for one in self._server.kernel_manager.list_kernels() if one["execution_state"] not in AT_REST],
            "terminals": {"open": len(terminals), "running": len(running)},
            "processes": sorted(set(self._at_work())),
            "idle_s": max(0.0, time.time() - max(self._moments(terminals))),
        }

    async def file_event(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data["action"] != LOOKED_AT:
            self._files_at = time.time()

    def _terminals(self) -> list[Any]:
        manager = self._server.web_app.settings.get("terminal_manager")  # None where a site has switched terminals off
        found: list[Any] = [] if manager is None else list(manager.terminals.values())
        return found

    def _moments(self, terminals: list[Any]) -> Iterator[float]:
        settings = self._server.web_app.settings
        found: list[datetime] = [
            settings["started"],
            self._server.kernel_manager.last_kernel_activity,
            *(terminal.last_activity for terminal in terminals),
            *settings["last_activity_times"].values(),  # where extensions say that somebody used them
        ]
        yield self._files_at
        yield from (moment.timestamp() for moment in found)

    def _at_work(self) -> Iterator[str]:
        now, used = time.monotonic(), self._cpu_times()
        passed = max(now - self._asked_at, 1e-3)
        before = self._used
        self._asked_at, self._used = now, used
        for process, seconds in used.items():
            if seconds - before.get(process, 0.0) > BUSY * passed:
                yield _name(process)

    def _cpu_times(self) -> dict[psutil.Process, float]:
        """Seconds of processor time by process, with those of its children that have ended."""
        own = psutil.Process()
        found = set(own.children(recursive=True)) | {psutil.Process(pid) for pid in self._left_running(own)}
        return {process: seconds for process in found if (seconds := _seconds(process)) is not None}

    def _left_running(self, own: psutil.Process) -> Iterator[int]:
        """What carries this job's name and is no ancestor of the server: its kernels, and what outlived a kernel or a terminal."""
        if job := os.environ.get(JOB_VARIABLE):
            for pid in carrying(job) - {own.pid, *(process.pid for process in own.parents())}:
                if psutil.pid_exists(pid):
                    yield pid


def _children(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return found


def _seconds(process: psutil.Process) -> float | None:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return float(times.user + times.system + times.children_user + times.children_system)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return "ended meanwhile"


class ActivityHandler(APIHandler):
    _track_activity = False  # to be asked is no activity

    def initialize(self, activity: Activity) -> None:
        self._activity = activity

    @web.authenticated
    def get(self) -> None:
        self.finish(json.dumps(self._activity.told()))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "emkit_hub.activity"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    activity = Activity(server)
    if server.event_logger is None:
        raise RuntimeError("this server has no events, so the work on files would go unseen")
    server.event_logger.add_listener(schema_id=FILES, listener=activity.file_event)
    server.web_app.add_handlers(".*$", [(url_path_join(server.base_url, ROUTE), ActivityHandler, {"activity": activity})])
