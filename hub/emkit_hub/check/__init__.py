"""`scripts/up --check`: a hub with an empty data folder, gone through door by door as the owner and as a workshop's guest."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from playwright.sync_api import sync_playwright

from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.check.doors import owner_without_browser
from emkit_hub.check.pages import guest, owner_with_browser, table_browser
from emkit_hub.check.table import CLOSED, Table
from emkit_hub.cluster import NODES
from emkit_hub.config import template_folders
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.own_cluster import OwnCluster, own_cluster
from emkit_hub.running import RunningHub
from emkit_hub.settings import Settings


def check(*, slurm: bool) -> int:
    """The exit code: 0 when every door opened. `slurm`: with a real one, whose jobs the servers are."""
    table = Table()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="emkit-check-") as temporary:
        folder = DataFolder(Path(temporary))
        folder.prepare()
        print(f"Checking emkit with the empty data folder {folder.path}\n", flush=True)
        try:
            with _slurm(table, folder) if slurm else nullcontext() as own:
                _check(table, folder, own)
        except CLOSED as error:
            print(f"\n{error}", file=sys.stderr)
    failed = [row[0] for row in table.rows if row[1] != "ok"]
    print(f"\n{len(table.rows) - len(failed)} of {len(table.rows)} doors opened in {time.monotonic() - began:.0f} s.")
    return 1 if failed else 0


@contextmanager
def _slurm(table: Table, folder: DataFolder) -> Iterator[OwnCluster]:
    stack = ExitStack()
    with table.row("Slurm starts") as saw:
        own = stack.enter_context(own_cluster(folder, None))
        saw(f"{len(NODES)} nodes, servers as {own.account or 'this account'}")
    try:
        yield own
    finally:
        with table.row("Slurm is stopped") as saw:
            stack.close()
            saw(f"{len(own.cluster.daemons)} daemons left")


def _check(table: Table, folder: DataFolder, own: OwnCluster | None) -> None:
    settings = own.settings if own is not None else Settings()
    environment = {"EMKIT_DASHBOARDS_ACCOUNT": dashboards_account(template_folders(settings, folder))}
    if own is not None:
        environment["EMKIT_SETTINGS"] = str(own.settings_file)
    hub = RunningHub(folder, free_ports(1)[0], environment=environment, servers=own.servers() if own is not None else None)
    try:
        with table.row("hub, proxy and dashboards start") as saw:
            proxy.install()
            asyncio.run(hub.__aenter__())
            saw(f"dashboards as {environment['EMKIT_DASHBOARDS_ACCOUNT'] or 'this account'}")
        owner_without_browser(table, hub, settings.owner, own)
        with sync_playwright() as playwright, table_browser(table, playwright.chromium.launch) as browser:
            owner_with_browser(table, hub, settings.owner, browser)
            guest(table, hub, browser)
    finally:
        with table.row("everything is stopped") as saw:
            asyncio.run(hub.stop())
            left = asyncio.run(hub.servers.find("")) | asyncio.run(hub.services.find(""))
            saw(f"{len(left)} jobs left")
