"""The spawn form over a real Slurm, in a real browser: what is free, what changes with the numbers, who may ask."""

import shutil
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.slurm.cluster import NODES, Cluster
from tests.spawner.plain_hub import PlainHub, plain_hub

pytestmark = [pytest.mark.hub, pytest.mark.browser]

LINES = """
c.JupyterHub.spawner_class = "emkit-slurm"
c.JupyterHub.load_groups = {{"chiefs": {{"users": ["ann"]}}}}
c.SlurmSpawner.sudo = False
c.SlurmSpawner.slurm_conf = {conf!r}
c.SlurmSpawner.tick_s = 0.2
c.SlurmSpawner.outlook_s = 0.2
c.SlurmSpawner.profiles = {{
    "small": {{"title": "Small", "cpus": 1, "memory_mb": 500, "runtime": "10"}},
    "own": {{
        "title": "Own <numbers>", "cpus": 2, "memory_mb": 1024, "runtime": "30",
        "limits": {{"cpus": 4, "memory_mb": 5000, "runtime": "1:00:00"}},
    }},
    "gpu": {{"title": "With a GPU", "cpus": 1, "gpus": 1, "memory_mb": 500, "groups": ["chiefs"]}},
    "closed": {{"title": "Closed", "cpus": 1, "partition": "closed"}},
}}
"""
OUTLOOK = "/emkit/outlook"


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    with plain_hub(tmp_path_factory.mktemp("form-hub"), LINES.format(conf=cluster.environment["SLURM_CONF"])) as running:
        for name in ("ann", "bob"):
            running.call("POST", f"/users/{name}")
        yield running
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def full(cluster: Cluster) -> Iterator[None]:
    """Three cores of each node are taken, and a job waits for all of them."""
    quiet = ("--output=/dev/null", "--wrap=exec sleep 3000")
    for node in NODES:
        cluster.run("sbatch", "--cpus-per-task=3", "--mem=1000", "--time=55", f"--nodelist={node}", *quiet)
    cluster.until(lambda: cluster.run("squeue", "--noheader", "--states=R").count("\n") == len(NODES), "the nodes are taken")
    cluster.run("sbatch", f"--nodes={len(NODES)}", "--ntasks-per-node=1", "--cpus-per-task=4", "--time=20", *quiet)
    cluster.until(lambda: "em" in cluster.run("squeue", "--noheader", "--format=%Y", "--states=PD"), "its nodes are planned")
    yield
    cluster.run("scancel", "--user=root")
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), "no jobs left")


def visit(hub: PlainHub, chromium: Browser, name: str, *, javascript: bool = True) -> Page:
    """The form of a user who has just logged in, on a phone."""
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=javascript)
    page = context.new_page()
    page.goto(f"{hub.url}/hub/login?next=/hub/spawn/{name}")
    page.fill("#username_input", name)
    page.fill("#password_input", "any")
    page.locator("#login_submit, [type=submit]").first.click()
    expect(page.locator(".emkit-profiles")).to_be_visible(timeout=30_000)
    return page


def token(hub: PlainHub, name: str) -> str:
    made: str = hub.call("POST", f"/users/{name}/tokens", {}).json()["token"]
    return made


def ask(hub: PlainHub, name: str, **fields: str) -> requests.Response:
    headers = {"Authorization": f"token {token(hub, name)}"}
    return requests.get(f"{hub.url}/hub/api{OUTLOOK}", params=fields, headers=headers, timeout=60)


def test_an_idle_cluster_starts_at_once(hub: PlainHub, chromium: Browser) -> None:
    page = visit(hub, chromium, "bob")
    assert page.locator(".emkit-profile-title").all_inner_texts() == ["Small", "Own <numbers>", "Closed"]
    expect(page.locator('[data-profile="small"] .emkit-outlook-text')).to_have_text("This starts at once.")
    expect(page.locator('[data-profile="small"] .emkit-free-text')).to_contain_text("Free: 12 of 12 cores, 3 of 3 whole nodes")
    page.locator('[data-profile="closed"] input[type=radio]').check()
    expect(page.locator('[data-profile="closed"] .emkit-outlook-text')).to_have_text("When this would start is not known.")
    expect(page.locator('[data-profile="closed"] .emkit-free-text')).to_have_text("Closed at the moment.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out of a phone
    page.context.close()


def test_a_full_cluster_says_when_and_what_would_start_now(hub: PlainHub, cluster: Cluster, chromium: Browser, full: None) -> None:
    page = visit(hub, chromium, "ann")
    own = page.locator('[data-profile="own"]')
    own.locator("input[type=radio]").check()
    cores = own.locator('[data-field="cpus"]')
    expect(own.locator(".emkit-outlook-text")).to_contain_text("This starts in about")
    cores.fill("9")
    expect(own.locator(".emkit-outlook-text")).to_contain_text("Cores:")
    cores.fill("4")
    sooner = own.get_by_role("button", name="1 core instead of 4 starts at once")
    expect(sooner).to_be_visible()
    sooner.click()
    expect(own.locator(".emkit-outlook-text")).to_have_text("This starts at once.")
    assert cores.input_value() == "1" and sooner.count() == 0
    own.locator('[data-field="hours"]').fill("1")
    expect(own.get_by_role("button", name="45 min instead of 1 h start at once")).to_be_visible()
    expect(page.locator('[data-profile="gpu"] .emkit-free-text')).to_contain_text("2 of 2 GPUs")
    own.locator('[data-field="hours"]').fill("0.5")
    expect(own.locator(".emkit-outlook-text")).to_have_text("This starts at once.")
    page.locator("form#spawn_form [type=submit]").click()
    page.wait_for_url("**/user/ann/**", timeout=60_000)
    told = hub.told("ann")
    assert told["SLURM_CPUS_PER_TASK"] == "1" and told["SLURM_MEM_PER_NODE"] == "1024"
    assert hub.call("DELETE", "/users/ann/server").status_code in (202, 204)
    page.context.close()


def test_without_javascript_the_form_says_the_same(hub: PlainHub, chromium: Browser, full: None) -> None:
    page = visit(hub, chromium, "bob", javascript=False)
    expect(page.locator('[data-profile="small"] .emkit-outlook-text')).to_have_text("This starts at once.")
    expect(page.locator('[data-profile="own"] .emkit-free-text')).to_contain_text("No room for this now. Free: 3 of 12 cores")
    page.locator('[data-profile="own"] input[type=radio]').check()
    expect(page.locator('[data-profile="own"] [data-field="cpus"]')).to_be_visible()
    expect(page.locator('[data-profile="small"] .emkit-outlook-text')).to_be_hidden()
    page.context.close()


def test_only_those_who_may_start_a_server_may_ask(hub: PlainHub) -> None:
    assert requests.get(f"{hub.url}/hub/api{OUTLOOK}", timeout=60).status_code == 403
    assert ask(hub, "bob", user="ann").status_code == 404  # as for a user that is not there
    assert hub.call("GET", f"{OUTLOOK}?user=ann&profile=gpu").json()["text"] == "This starts at once."
    assert ask(hub, "ann", profile="gpu").status_code == 200
    answer = ask(hub, "bob", profile="gpu")
    assert answer.status_code == 400 and "no profile 'gpu': this hub offers small, own, closed" in answer.json()["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"profile": "own", "cpus": "5"}, "gives at most 4"),
        ({"profile": "own", "cpus": "$(reboot)"}, "a number was needed"),
        ({"profile": "own", "cpus": "-1"}, "Option 'cpus' is -1"),
        ({"profile": "own", "memory_gb": "inf"}, "a number above 0 was needed"),
        ({"profile": "own", "hours": "1e9"}, "Option 'hours'"),
        ({"profile": "own\n--wrap=id"}, "There is no profile"),
        ({"profile": "own", "partition": "closed"}, "Unknown option 'partition'"),
        ({"profile": "own", "gpus": "2"}, "has it fixed at 0"),
        ({"profile": "x" * 4000}, "There is no profile"),
    ],
)
def test_what_a_start_would_refuse_is_refused_before(hub: PlainHub, fields: dict[str, str], said: str) -> None:
    answer = ask(hub, "bob", **fields)
    assert answer.status_code == 400 and said in answer.json()["message"]
