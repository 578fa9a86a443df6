"""A session that nears its walltime, seen in a real JupyterLab under a real Slurm: warned, saved, and resubmitted to a new job."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.slurm.cluster import Cluster
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = [pytest.mark.hub, pytest.mark.browser]

PATIENCE_MS = 60_000
expect.set_options(timeout=30_000)
WALLTIME_MIN = 40
LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
c.SlurmSpawner.home_folder = {home!r}
c.SlurmSpawner.profiles = {{"small": {{"title": "Small", "cpus": 1, "memory_mb": 1500, "runtime": "{minutes}"}}}}
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.notebook_dir = {home!r}
c.Spawner.default_url = "/lab"
c.Spawner.environment = {{"JUPYTER_CONFIG_DIR": {config!r}, "JUPYTER_PLATFORM_DIRS": "0"}}
"""
# Pages that ask at once, and Lab without its question about news
SERVER = {"SessionWatch": {"page_s": 0.5, "hub_s": 0.5, "measure_s": 0.5}}
LAB = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's home, with one notebook."""
    home = tmp_path_factory.mktemp("session-home")
    (home / "config/labconfig").mkdir(parents=True)
    (home / "config/jupyter_server_config.json").write_text(json.dumps(SERVER))
    (home / "config/labconfig/default_setting_overrides.json").write_text(json.dumps(LAB))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, home / "work.ipynb")
    (home / "notes.txt").touch()
    return home


@pytest.fixture(scope="module")
def hub(cluster: Cluster, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    values = {"conf": cluster.environment["SLURM_CONF"], "home": str(home), "config": str(home / "config")}
    lines = LINES.format(**values, minutes=WALLTIME_MIN, python=sys.executable)
    with plain_hub(tmp_path_factory.mktemp("session-hub"), lines) as running:
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, hub: PlainHub) -> Iterator[Page]:
    """Ann, logged in."""
    context = chromium.new_context(viewport={"width": 1300, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{hub.url}/hub/login")
    page.fill("#username_input", "ann")
    page.fill("#password_input", "any")
    page.click("#login_submit")
    page.wait_for_url(lambda url: "/hub/login" not in url)
    yield page
    context.close()


def job(cluster: Cluster) -> str:
    """The number of the one job there is."""
    (number,) = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
    return number


def give(cluster: Cluster, number: str, minutes: int) -> None:
    """An administrator moves the job's end to so many minutes after its start."""
    cluster.run("scontrol", "update", f"JobId={number}", f"TimeLimit={minutes}")


def test_warned_then_saved_and_resubmitted_to_the_same_notebook(page: Page, hub: PlainHub, cluster: Cluster, home: Path) -> None:
    assert hub.call("POST", "/users/ann/server").status_code in (201, 202)
    cluster.until(lambda: hub.call("GET", "/users/ann").json()["servers"][""]["ready"], "the server is up")
    before = job(cluster)
    page.goto(f"{hub.url}/user/ann/lab/tree/work.ipynb")
    status = page.locator(".emkit-session-item")
    expect(status).to_contain_text("min left")
    expect(status).to_contain_text("/ 1.5 GB")
    expect(status).to_contain_text("/ 1 CPU")
    toast = page.locator(".Toastify__toast")
    expect(toast).to_have_count(0)

    give(cluster, before, 12)
    expect(toast).to_contain_text("This session ends in 1")
    give(cluster, before, WALLTIME_MIN)
    expect(toast).to_have_count(0)
    give(cluster, before, 4)
    dialog = page.locator("dialog.jp-Dialog")
    expect(dialog).to_contain_text("This session ends in")
    expect(dialog.get_by_role("button", name="Not now")).to_be_focused()  # Enter, typed by chance, ends nothing
    dialog.get_by_role("button", name="Not now").click()
    give(cluster, before, WALLTIME_MIN)

    other = page.context.new_page()  # a second window of the same Lab, with something unsaved of its own
    other.goto(f"{hub.url}/user/ann/lab/workspaces/other/tree/notes.txt")
    other.locator(".jp-FileEditor .cm-content").click()
    other.keyboard.type("in another window")
    page.bring_to_front()
    cell = page.locator(".jp-Notebook .cm-content").first
    cell.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("  # unsaved")
    assert "unsaved" not in (home / "work.ipynb").read_text()
    status.click()
    dialog.get_by_role("button", name="Save all and resubmit").click()
    page.wait_for_url("**/hub/spawn-pending/ann?next=*")
    page.wait_for_url("**/user/ann/lab/tree/work.ipynb")
    expect(page.locator(".jp-Notebook .cm-content").first).to_contain_text("import os  # unsaved")
    assert "unsaved" in (home / "work.ipynb").read_text()
    assert (home / "notes.txt").read_text() == "in another window"
    after = job(cluster)
    assert after != before
    for window in (page, other):  # the second one came back by itself
        expect(window.get_by_text("This page comes back when it is up")).to_have_count(0)
        window.locator(".emkit-session-item").click()
        expect(window.locator("dialog.jp-Dialog")).to_contain_text(f"{after} (small)")
    other.close()


def test_what_cannot_be_saved_keeps_the_session(page: Page, hub: PlainHub, cluster: Cluster, home: Path) -> None:
    before = job(cluster)
    page.goto(f"{hub.url}/user/ann/lab/tree/work.ipynb")
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.type("1 + 1  ")
    (home / "work.ipynb").rename(home / "moved.ipynb")
    (home / "work.ipynb").mkdir()  # where no file can be written any more, root's included
    page.locator(".emkit-session-item").click()
    page.get_by_role("button", name="Save all and resubmit").click()
    expect(page.locator(".Toastify__toast")).to_contain_text("nothing was stopped. Not saved: work.ipynb")
    assert job(cluster) == before
    assert os.path.isdir(home / "work.ipynb")
