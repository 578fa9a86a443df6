"""`emkit-hub`: what an operator types.

emkit-hub check      what is wrong with this installation, in one table
emkit-hub sudoers    print the file that lets the hub's account submit and cancel
emkit-hub proxy      run the proxy, as the unit emkit-proxy.service does
emkit-hub upgrade-db bring the database to this version of JupyterHub
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from emkit_hub.backup import BackupError, backup
from emkit_hub.data_folder import DataFolder
from emkit_hub.proxy import ProxyError
from emkit_hub.settings import Settings, SettingsError
from emkit_hub.sudoers import SudoersError, sudoers


def parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser(prog="emkit-hub", description="What an operator of a hub types.")
    commands = new.add_subparsers(dest="command", required=True)
    site = argparse.ArgumentParser(add_help=False)
    site.add_argument("--settings", type=Path, help="the site's settings (default: EMKIT_SETTINGS)")
    site.add_argument("--data", type=Path, help="the hub's data folder (default: EMKIT_DATA, or `data` in the settings)")

    check = commands.add_parser(
        "check",
        parents=[site],
        help="what is wrong with this installation, in one table",
        description="Look at everything that a hub needs, as the account that runs it. Exit code 1 when something is wrong.",
    )
    check.add_argument(
        "--user", metavar="NAME", help="a user's account to try sudo and a job with (default: one of slurm.accounts)"
    )
    check.add_argument("--patience", type=float, default=60.0, metavar="S", help="seconds to wait for a job (default: %(default)g)")
    check.add_argument("--no-job", action="store_true", help="submit no job: leaves out what only a node can tell")

    printed = commands.add_parser(
        "sudoers",
        parents=[site],
        help="print the sudoers file",
        description="Print the sudoers file that lets the hub's account submit and cancel jobs as its users, and nothing else.",
    )
    printed.add_argument("--account", default="jupyterhub", help="the hub's Unix account (default: %(default)s)")

    run = commands.add_parser("proxy", parents=[site], help="run the proxy", description="Run the proxy until it is told to stop.")
    run.add_argument("--install", action="store_true", help="only get it (by npm, with the node that is installed with emkit)")

    commands.add_parser(
        "dashboards",
        parents=[site],
        help="run the dashboards under an account of their own",
        description="Run the dashboards until they are told to stop, as the account that types this, for a hub that is not root.",
    )

    copy = commands.add_parser(
        "backup",
        parents=[site],
        help="copy what a hub cannot be without",
        description="Copy the hub's settings, secrets and database into a new folder below FOLDER, while the hub runs.",
    )
    copy.add_argument("folder", type=Path, metavar="FOLDER", help="where copies are kept")

    commands.add_parser(
        "upgrade-db",
        parents=[site],
        help="bring the database to this version of JupyterHub",
        description="Bring the hub's database to this version of JupyterHub. Stop the hub and make a copy of the database first.",
    )
    return new


def main(words: Sequence[str] | None = None) -> int:
    """The exit code; `words`: the command line, by default this process's own."""
    asked = parser().parse_args(words)
    try:
        match asked.command:
            case "check":
                return _check(asked)
            case "sudoers":
                settings = Settings.read(_settings_file(asked))
                print(sudoers(asked.account, settings.slurm.accounts), end="")
            case "proxy":
                _proxy(asked)
            case "dashboards":
                _dashboards(asked)
            case "backup":
                settings, folder = _site(asked)
                print(backup(settings, _settings_file(asked), folder, asked.folder))
            case "upgrade-db":
                return _upgrade(asked)
    except (SettingsError, SudoersError, BackupError, ProxyError, OSError) as error:
        print(f"emkit-hub {asked.command}: {error}", file=sys.stderr)
        return 3
    return 0


def _settings_file(asked: argparse.Namespace) -> Path | None:
    named = asked.settings or os.environ.get("EMKIT_SETTINGS")
    return Path(named) if named else None


def _site(asked: argparse.Namespace) -> tuple[Settings, DataFolder]:
    from emkit_hub.config import site  # JupyterHub's classes: not for --help and sudoers

    return site(_settings_file(asked), asked.data)


def _check(asked: argparse.Namespace) -> int:
    from rich.console import Console

    from emkit_hub.installation import examine
    from emkit_hub.installation.finding import Finding, good, show, wrong

    console = Console(highlight=False, soft_wrap=False)
    try:
        settings, folder = _site(asked)
    except SettingsError as error:
        return show([wrong("settings", str(error), "Mend the file, or name another one: --settings FILE")], console)
    findings: list[Finding] = [good("settings", f"{_settings_file(asked) or 'the embedded ones'}: valid; data in {folder.path}")]

    async def look() -> None:
        async for finding in examine(settings, folder, user=asked.user, job=not asked.no_job, patience_s=asked.patience):
            findings.append(finding)

    asyncio.run(look())
    return show(findings, console)


def _proxy(asked: argparse.Namespace) -> None:
    """Become the proxy: its token goes by the environment, never by the command line."""
    from emkit_hub import proxy

    proxy.install()
    if asked.install:
        return
    settings, folder = _site(asked)
    folder.prepare()
    command = proxy.command(folder, settings.network.listen, settings.network.port, settings.network)
    os.execve(command[0], command, {"PATH": os.defpath, "CONFIGPROXY_AUTH_TOKEN": folder.proxy_token})


def _dashboards(asked: argparse.Namespace) -> None:
    """Become the service."""
    from emkit_hub import apart
    from emkit_hub.config import DASHBOARDS, HOST, cookie_options, dashboards_settings
    from emkit_hub.dashboards.settings import ENVIRONMENT_VARIABLE

    settings, folder = _site(asked)
    if settings.dashboards_token_file is None:
        raise SettingsError("The hub starts the dashboards itself: to run them apart, set dashboards_token_file in the settings.")
    if not folder.prepared:
        raise SettingsError(f"The data folder {folder.path} is not there yet: start the proxy first (emkit-hub proxy).")
    ports = folder.ports()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    token = apart.token(settings.dashboards_token_file)
    urls = {"service_url": f"http://{HOST}:{ports['dashboards']}", "hub_url": settings.network.hub_url(ports["hub"])}
    told = {
        ENVIRONMENT_VARIABLE: dashboards_settings(settings, folder).model_dump_json(),
        "JUPYTERHUB_COOKIE_OPTIONS": json.dumps(cookie_options(settings.network)),
    }
    command = [sys.executable, "-m", "emkit_hub.dashboards"]
    os.execve(command[0], command, {**kept, **told, **apart.environment(DASHBOARDS, token, **urls)})


def _upgrade(asked: argparse.Namespace) -> int:
    from jupyterhub.dbutil import upgrade_if_needed

    from emkit_hub.config import database_url

    settings, folder = _site(asked)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    # JupyterHub runs alembic by its name
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    upgrade_if_needed(database_url(settings, folder), log=logging.getLogger("emkit-hub"))
    print("The database is of this version.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
