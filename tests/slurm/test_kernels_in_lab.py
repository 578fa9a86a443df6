"""Kernels on nodes as people meet them: in JupyterLab, behind a hub's proxy, in a real browser."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from emkit_hub import proxy
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from emkit_jobs.processes import carrying, send
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.kernels.light_server import until
from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.hub, pytest.mark.browser]

PATIENCE_MS = 60_000
SETTINGS = """
[lab]
kernels = "{kernels}"
notebook = ""
[dashboards]
pool = 0
"""
KERNELS = """
slurm_conf = "{conf}"
[kernels.closed]
title = "Python, 1 GPU"
partition = "closed"
"""


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    path: Path = tmp_path_factory.mktemp("kernels-hub")
    (path / "kernels.toml").write_text(KERNELS.format(conf=cluster.environment["SLURM_CONF"]))
    (path / "site.toml").write_text(SETTINGS.format(kernels=path / "kernels.toml"))
    folder = DataFolder(path / "data")
    folder.prepare()
    proxy.install()
    running = RunningHub(folder, free_ports(1)[0], environment={"EMKIT_SETTINGS": str(path / "site.toml")})
    asyncio.run(running.__aenter__())
    yield running
    asyncio.run(running.stop())
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no job left")


@pytest.fixture(scope="module")
def owner(hub: RunningHub) -> Iterator[Visitor]:
    with Visitor(hub.url) as visitor:
        assert visitor.login("owner", hub.folder.owner_password)
        visitor.start_server()
        yield visitor
        visitor.stop_server()


@pytest.fixture
def window() -> Iterator[Page]:
    """Its own Chromium: Playwright keeps an event loop in this thread while it lives, and the other test needs one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        context = browser.new_context(viewport={"width": 1200, "height": 760})
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()
        browser.close()


def write(folder: Path, name: str, *cells: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "emkit-closed", "display_name": "Python, 1 GPU", "language": "python"}
    nbformat.write(made, folder / name)


def enter(hub: RunningHub, page: Page) -> None:
    page.goto(hub.url)
    page.fill("#username_input", "owner")
    page.fill("#password_input", hub.folder.owner_password)
    page.click("#login_submit")
    page.wait_for_load_state()


def queued(cluster: Cluster) -> str:
    """The number of the one job."""
    return str(until(lambda: cluster.run("squeue", "--noheader", "--format=%i").strip(), "a job"))


def test_a_notebook_waits_runs_dies_and_is_resubmitted(hub: RunningHub, owner: Visitor, cluster: Cluster, window: Page) -> None:
    write(hub.folder.home, "wait.ipynb", "import os; print('ran as job', os.environ['SLURM_JOB_ID'])")
    address = f"{hub.url}{owner.server}lab/tree/wait.ipynb"
    enter(hub, window)
    window.goto(address)
    banner = window.locator(".emkit-kernel")
    expect(banner).to_contain_text("Waiting for a node Python, 1 GPU", timeout=PATIENCE_MS)
    job = queued(cluster)
    expect(banner).to_contain_text(f"Queued as job {job}: ")
    window.goto("about:blank")  # the tab is closed: its place in the queue stays
    window.goto(address)
    expect(banner).to_contain_text(f"Queued as job {job}: ", timeout=PATIENCE_MS)
    window.get_by_text("Python, 1 GPU | Connecting").wait_for()
    window.locator(".jp-Notebook .jp-Cell").first.click()
    window.keyboard.press("Shift+Enter")  # runs when there is a kernel
    cluster.run("scontrol", "update", f"JobId={job}", "Partition=main")
    window.get_by_text(f"ran as job {job}", exact=True).wait_for()
    expect(banner).to_be_hidden()
    cluster.run("scancel", job)
    expect(banner).to_contain_text(f"The kernel's job is over. Job {job}: finished, cancelled.", timeout=PATIENCE_MS)
    banner.get_by_role("button", name="Resubmit").click()
    expect(banner).to_contain_text("Waiting for a node", timeout=PATIENCE_MS)
    assert queued(cluster) != job
    banner.get_by_role("button", name="Cancel").click()
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "the job is cancelled")
    expect(banner).to_be_hidden()


def test_a_server_of_the_hub_that_was_killed_has_its_kernel_again(hub: RunningHub, owner: Visitor, cluster: Cluster) -> None:
    body = {"path": "b.ipynb", "name": "b.ipynb", "type": "notebook", "kernel": {"name": "emkit-closed"}}
    session = owner.call("POST", f"{owner.server}api/sessions", body).json()
    job = queued(cluster)
    cluster.run("scontrol", "update", f"JobId={job}", "Partition=main")
    with owner.kernel(session["kernel"]["id"]) as kernel:
        assert kernel.run("import os; x = 42; print(os.environ['SLURM_JOB_ID'])").strip() == job
    (server,) = asyncio.run(hub.servers.find(""))
    for pid in carrying(server):
        send(pid, signal.SIGKILL)
    until(lambda: not owner.call("GET", "/hub/api/users/owner").json()["servers"], "the hub has noticed")
    owner.start_server()
    (found,) = owner.get(f"{owner.server}api/sessions").json()
    assert (found["id"], found["kernel"]["id"]) == (session["id"], session["kernel"]["id"])
    with owner.kernel(found["kernel"]["id"]) as kernel:
        assert kernel.run("print(x)") == "42\n"
    assert queued(cluster) == job
    assert owner.call("DELETE", f"{owner.server}api/sessions/{found['id']}").status_code == 204
