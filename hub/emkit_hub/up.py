"""`scripts/up`, once its environment is there: the passwords, the proxy, the hub; Ctrl-C ends all of it, users' servers too."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from emkit_jobs.scheduler import SchedulerError

from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.cluster import ClusterError
from emkit_hub.config import template_folders
from emkit_hub.data_folder import DataFolder
from emkit_hub.own_cluster import OwnCluster, own_cluster
from emkit_hub.running import HubError, RunningHub
from emkit_hub.settings import Settings, SettingsError
from emkit_hub.up_options import default_data, parser

WATCH_S = 1.0


class StartError(RuntimeError):
    """Something in the way of the start: what, and what to do."""


def take(folder: DataFolder) -> int:
    """Lock the data folder for this process; StartError if another one holds it."""
    lock = os.open(folder.path / "up.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StartError(
            f"emkit already runs on the data folder {folder.path}: stop it there with Ctrl-C, "
            "or use another folder and port: scripts/up --data FOLDER --port 8001"
        ) from error
    return lock


def say(text: str) -> None:
    print(text, flush=True)


def welcome(hub: RunningHub, settings: Settings, account: str, more: list[str]) -> str:
    folder = hub.folder
    lines = [
        f"emkit is up: {hub.url}   (Ctrl-C stops it, with all it started)",
        "",
        f"  JupyterLab       name {settings.owner}, password {folder.owner_password}",
        f"  dashboards only  any name,   password {folder.workshop_password}",
        "",
        f"  passwords        {folder.path / 'secrets'}",
        f"  notebooks, data  {settings.lab.home or folder.home}",
        f"  more dashboards  put notebooks into {folder.dashboards}",
        f"  logs             {hub.log('hub')}",
        *more,
    ]
    if not account:
        lines += ["", "  One-account mode: the dashboards run under your own account. Show them to people you trust."]
    return "\n".join(lines)


async def run(folder: DataFolder, port: int, settings_file: Path | None, own: OwnCluster | None) -> None:
    """Until Ctrl-C. `own`: the cluster that the servers are jobs of; None: this machine."""
    if own is not None:
        settings_file = own.settings_file
    settings = Settings.read(settings_file)
    account = settings.dashboards_account or dashboards_account(template_folders(settings, folder))
    environment = {"EMKIT_DASHBOARDS_ACCOUNT": account}
    if settings_file is not None:
        environment["EMKIT_SETTINGS"] = str(settings_file.resolve())
    hub = RunningHub(folder, port, environment=environment, servers=own.servers() if own is not None else None)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    starting = asyncio.create_task(
        _serve(hub, lambda: welcome(hub, settings, account, own.told() if own is not None else []), stopped)
    )
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not starting.done() and not stopped.is_set():
        starting.cancel()
    await starting


async def _serve(hub: RunningHub, told: Callable[[], str], stopped: asyncio.Event) -> None:
    async with hub:
        say(told())
        while not stopped.is_set():
            await hub.check_alive()
            try:
                async with asyncio.timeout(WATCH_S):
                    await stopped.wait()
            except TimeoutError:
                continue
        say("\nStopping the hub, the dashboards, the servers and the proxy ...")
    say("Stopped.")


def main() -> int:
    asked = parser().parse_args()
    if asked.check:
        from emkit_hub.check import check  # the browser's driver, needed for nothing else

        return check(slurm=asked.slurm)
    try:
        folder = DataFolder((asked.data or default_data(asked.slurm)).resolve())
        folder.prepare()
        lock = take(folder)
        if not proxy.installed():
            say("Getting the proxy ...")
            proxy.install()
        with own_cluster(folder, asked.settings) if asked.slurm else nullcontext() as own:
            asyncio.run(run(folder, asked.port, asked.settings, own))
        os.close(lock)
    except (StartError, ClusterError, SettingsError, HubError, SchedulerError, proxy.ProxyError, OSError) as error:
        print(f"scripts/up: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # while Slurm was starting or stopping
        say("Stopped.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
