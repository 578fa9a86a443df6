"""`scripts/up`, once its environment is there: the passwords, the proxy, the hub; Ctrl-C ends all of it, users' servers too."""

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

from emkit_jobs.scheduler import SchedulerError

from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.config import template_folders
from emkit_hub.data_folder import DataFolder
from emkit_hub.running import HubError, RunningHub
from emkit_hub.settings import Settings, SettingsError

WATCH_S = 1.0
EPILOG = """\
The first start makes two passwords and keeps them, readable for you alone, under DATA/secrets.
Ctrl-C ends everything this command started: the hub, the proxy, the dashboards and the users' servers.
"""


class StartError(RuntimeError):
    """Something in the way of the start: what, and what to do."""


def default_data() -> Path:
    """/var/lib/emkit for root, as other accounts cannot pass through root's home; else below the user's own data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/emkit")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "emkit"


def parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser(
        prog="scripts/up",
        description="Set up and start emkit on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("--port", type=int, default=8000, help="where the hub listens, on this machine only (default: 8000)")
    new.add_argument("--data", type=Path, default=default_data(), help="keeps passwords, users and files (default: %(default)s)")
    new.add_argument("--settings", type=Path, help="a site's settings, as a TOML file (default: the embedded ones)")
    new.add_argument("--check", action="store_true", help="start with an empty data folder, try every door, print a table, stop")
    return new


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


def welcome(hub: RunningHub, settings: Settings, account: str) -> str:
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
    ]
    if not account:
        lines += ["", "  One-account mode: the dashboards run under your own account. Show them to people you trust."]
    return "\n".join(lines)


async def run(folder: DataFolder, port: int, settings_file: Path | None) -> None:
    settings = Settings.read(settings_file)
    account = settings.dashboards_account or dashboards_account(template_folders(settings, folder))
    environment = {"EMKIT_DASHBOARDS_ACCOUNT": account}
    if settings_file is not None:
        environment["EMKIT_SETTINGS"] = str(settings_file.resolve())
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    starting = asyncio.create_task(_serve(folder, port, settings, account, environment, stopped))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not starting.done() and not stopped.is_set():
        starting.cancel()
    await starting


async def _serve(
    folder: DataFolder, port: int, settings: Settings, account: str, environment: dict[str, str], stopped: asyncio.Event
) -> None:
    async with RunningHub(folder, port, environment=environment) as hub:
        say(welcome(hub, settings, account))
        while not stopped.is_set():
            await hub.check_alive()
            try:
                await asyncio.wait_for(stopped.wait(), WATCH_S)
            except TimeoutError:
                continue
        say("\nStopping the hub, the dashboards, the servers and the proxy ...")
    say("Stopped.")


def main() -> int:
    asked = parser().parse_args()
    if asked.check:
        from emkit_hub.check import check  # the browser's driver, needed for nothing else

        return check()
    try:
        folder = DataFolder(asked.data.resolve())
        folder.prepare()
        lock = take(folder)
        if not proxy.installed():
            say("Getting the proxy ...")
            proxy.install()
        asyncio.run(run(folder, asked.port, asked.settings))
        os.close(lock)
    except (StartError, SettingsError, HubError, SchedulerError, proxy.ProxyError, OSError) as error:
        print(f"scripts/up: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
