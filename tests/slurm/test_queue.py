"""A full cluster: the page says why the job waits, in which place and until when; the request can be cancelled and changed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import emkit_hub
import pytest
from emkit_hub.cluster import Cluster
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = [pytest.mark.hub, pytest.mark.browser]

PATIENCE_MS = 60_000
LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.JupyterHub.template_paths = [{templates!r}]
c.JupyterHub.template_vars = {{"site_title": "EM site", "owner": "ann", "dashboards_url": ""}}
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.allow_named_servers = True
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.startup_poll_interval = 0.1
c.SlurmSpawner.profiles = {{
    "small": {{"title": "Small", "cpus": 1}},
    "big": {{"title": "Big", "cpus": 4, "memory_mb": 4000, "limits": {{"cpus": 4}}}},
}}
c.JobSpawner.home_folder = {home!r}
"""


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    folder = tmp_path_factory.mktemp("queue-hub")
    values = {"conf": cluster.environment["SLURM_CONF"], "templates": str(Path(emkit_hub.__file__).parent / "templates")}
    with plain_hub(folder, LINES.format(**values, home=str(folder))) as running:
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


@pytest.fixture
def full(cluster: Cluster) -> Iterator[str]:
    """The number of a job that holds every node for ten minutes, with another one in the queue."""
    words = ["--exclusive", "--nodes=3", "--chdir=/", "--output=/dev/null", "--wrap=sleep 600"]
    numbers = [cluster.run("sbatch", "--parsable", f"--time={minutes}", *words).strip() for minutes in (10, 5)]
    cluster.until(lambda: "RUNNING" in cluster.run("squeue", "--noheader", "--format=%T", f"--jobs={numbers[0]}"), "all is taken")
    yield numbers[0]
    cluster.run("scancel", *numbers)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, hub: PlainHub) -> Iterator[Page]:
    with chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        yield opened


def start(page: Page, hub: PlainHub, user: str, server: str = "", **options: object) -> None:
    """As `user`, logged in, who has asked for a server and looks at its page."""
    page.goto(f"{hub.url}/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", "any")
    page.click("#login_submit")
    page.wait_for_url(lambda url: "/login" not in url)
    path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
    assert hub.call("POST", path, options).status_code == 202
    page.goto(f"{hub.url}/hub/spawn-pending/{user}/{server}".rstrip("/"))


def test_the_page_says_why_in_which_place_and_until_when(hub: PlainHub, cluster: Cluster, full: str, page: Page) -> None:
    start(page, hub, "ann", profile="big")
    expect(page.locator("#headline")).to_have_text("Waiting in the queue", timeout=PATIENCE_MS)
    expect(page.locator("#queue-reason")).not_to_be_empty()
    expect(page.locator("#queue-place")).to_have_text("number 2", timeout=PATIENCE_MS)
    expect(page.locator("#queue-start")).to_contain_text("in about", timeout=PATIENCE_MS)
    expect(page.locator("#queue-age")).to_contain_text("The scheduler said so")
    told = hub.call("GET", "/emkit/sessions/ann/").json()
    assert (told["state"], told["profile"], told["waiting"]["position"]) == ("queued", "big", 2)
    assert told["now"] >= told["waiting"]["asked_at"] and told["waiting"]["expected_at"] > told["now"]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cluster.run("scancel", full)
    cluster.run("scancel", *cluster.run("squeue", "--noheader", "--states=PENDING", "--name=wrap", "--format=%i").split())
    page.wait_for_url("**/user/ann/**")  # it opens by itself
    assert json.loads(page.inner_text("body"))["JUPYTERHUB_USER"] == "ann"
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)


def test_a_request_is_changed_and_its_job_cancelled(hub: PlainHub, cluster: Cluster, full: str, page: Page) -> None:
    server = "a-second-one-with-a-long-name"
    page.set_viewport_size({"width": 390, "height": 844})
    start(page, hub, "bob", server, profile="big", cpus=3)
    expect(page.locator(".emkit-server")).to_contain_text(server)
    expect(page.locator("#queue-reason")).not_to_be_empty(timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#change")
    page.wait_for_url(f"**/hub/spawn/bob/{server}*")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator('input[value="big"]')).to_be_checked()
    expect(page.locator('.emkit-profile[data-profile="big"] [data-field="cpus"]')).to_have_value("3")
    assert not [name for name in names(cluster) if name.startswith("emkit-")]


def test_a_queued_start_is_cancelled(hub: PlainHub, cluster: Cluster, full: str, page: Page) -> None:
    start(page, hub, "eve", profile="big")
    expect(page.locator("#queue-reason")).not_to_be_empty(timeout=PATIENCE_MS)
    page.click("#stop")
    page.wait_for_url("**/hub/home")
    assert not [name for name in names(cluster) if name.startswith("emkit-")]
    assert hub.call("GET", "/users/eve").json()["servers"] == {}


def names(cluster: Cluster) -> list[str]:
    return cluster.run("squeue", "--noheader", "--format=%j").split()
