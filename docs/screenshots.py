"""Takes every screenshot of the docs from a hub of its own, with a phantom for data: python docs/screenshots.py [FOLDER]."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import requests
from catalogue_screenshots import take_scans
from emkit_hub import proxy
from emkit_hub.accounts import dashboards_account
from emkit_hub.check.doors import NOTEBOOK
from emkit_hub.check.pages import CHROMIUM_FLAGS, VIEWER_READY
from emkit_hub.config import DASHBOARDS_PATH, OVERVIEW_PATH, template_folders
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.own_cluster import OwnCluster, own_cluster
from emkit_hub.running import RunningHub
from emkit_hub.settings import Settings
from emkit_hub.visitor import Visitor
from kernel_screenshots import take_kernels
from lab import Save
from paint_screenshots import take_paint
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright
from run_screenshots import take_runs
from scan_screenshots import take_counting
from stream_screenshots import take_stream

COLOURS = 256  # of a picture's palette: a third of the bytes, and nobody sees it
LARGEST_PX = (1000, 1000)
PATIENCE_MS = 60_000
VIEWER = "iframe[title='Neuroglancer viewer']"

SHORT_SESSIONS = """
[profiles.machine]
title = "This machine"
cpus = 2
memory_mb = 4096
runtime = "12"

[lab]
notebook = ""

[dashboards]
pool = 0
"""

SEVERAL_SERVERS = """
title = "EM core"
announcement = ""
named_servers = 3

[lab]
notebook = ""

[dashboards]
pool = 0

[overview]
file_systems = ["/", "/tmp"]
"""

LINEAGE = (
    "make-phantom -o raw --sections 20 --size-px 512",
    "align-sections raw -o aligned.ome.zarr --voxel-size-nm 45 4.6 4.6",
    "measure-alignment aligned.ome.zarr -o quality.csv",
    "lineage quality.csv --svg lineage.svg",
)


async def enter(hub: RunningHub, browser: Browser, name: str, password: str) -> Page:
    context = await browser.new_context(viewport={"width": 1200, "height": 760})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(hub.url)
    await page.fill("#username_input", name)
    await page.fill("#password_input", password)
    return page


async def owner(hub: RunningHub, browser: Browser, save: Save) -> None:
    page = await enter(hub, browser, "owner", hub.folder.owner_password)
    save("login", await page.screenshot())
    await page.click("#login_submit")
    await page.wait_for_url(f"**{OVERVIEW_PATH}")
    await page.goto(f"{hub.url}/hub/spawn/owner")
    await page.locator("form").last.wait_for()
    save("spawn-form", await page.screenshot())
    await page.locator("form [type=submit]").last.click()
    await page.locator("#steps li").nth(2).wait_for()  # the first steps are told
    save("progress", await page.screenshot())
    await page.wait_for_url("**/lab/**")
    await page.goto(f"{hub.url}/user/owner/lab/workspaces/pictures/tree/{NOTEBOOK}")
    await page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    await page.get_by_role("menuitem", name="Run", exact=True).click()
    await page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    form = page.locator(".emkit-form")
    await form.wait_for()
    await form.scroll_into_view_if_needed()
    save("notebook", await page.screenshot())
    await page.set_viewport_size({"width": 1500, "height": 4000})  # Lab draws only the cells that are in sight
    await run(page)
    quality = page.locator(".emkit-quality")
    await quality.locator("canvas").first.wait_for()
    save("quality", await quality.screenshot())
    save("viewer", await page.locator(VIEWER).screenshot())
    await page.context.close()


async def run(page: Page) -> None:
    """Press Run in the form, and wait until the volume is drawn."""
    await page.locator(".emkit-form .emkit-buttons").get_by_role("button", name="Run").click()
    viewer = page.locator(VIEWER)
    await viewer.wait_for()
    frame = await (await viewer.element_handle()).content_frame()
    assert frame is not None
    await frame.evaluate(VIEWER_READY, PATIENCE_MS)


async def guest(hub: RunningHub, browser: Browser, save: Save) -> None:
    page = await enter(hub, browser, "ann", hub.folder.workshop_password)
    await page.click("#login_submit")
    await page.wait_for_url(f"**{DASHBOARDS_PATH}")
    await page.locator(".card").first.wait_for()
    save("gallery", await page.screenshot())
    await page.set_viewport_size({"width": 1200, "height": 1900})
    await page.goto(f"{hub.url}{DASHBOARDS_PATH}open/{Path(NOTEBOOK).stem}")
    await page.locator(".emkit-form").wait_for()
    await run(page)
    save("dashboard", await page.screenshot())
    await page.goto(f"{hub.url}{DASHBOARDS_PATH}open/count_a_scan")
    await take_counting(page, save)
    await page.context.close()


async def session(hub: RunningHub, browser: Browser, save: Save) -> None:
    """A session with a time limit, near its end."""
    page = await enter(hub, browser, "owner", hub.folder.owner_password)
    await page.click("#login_submit")
    await page.wait_for_url(f"**{OVERVIEW_PATH}")
    await page.goto(f"{hub.url}/hub/spawn/owner")
    await page.locator("form [type=submit]").last.click()
    await page.wait_for_url("**/lab**")
    status = page.locator(".emkit-session-item")
    await status.get_by_text("CPU").wait_for()
    await page.locator(".Toastify__toast").get_by_text("This session ends").wait_for()
    await page.locator(".Toastify--animate").first.wait_for(state="detached")
    save("session-status", await page.screenshot(clip={"x": 0, "y": 460, "width": 1200, "height": 300}))
    await status.click()
    save("session-dialog", await page.locator("dialog.jp-Dialog .jp-Dialog-content").screenshot())
    await page.context.close()


async def overview(hub: RunningHub, browser: Browser, save: Save, name: str) -> None:
    """With a session that runs, one that waits behind a neighbour, runs that a server told of, and an announcement."""

    def prepare() -> None:
        with Visitor(hub.url) as visitor:
            if not visitor.login(name, hub.folder.owner_password):
                raise RuntimeError("The owner's password does not fit.")
            visitor.get(OVERVIEW_PATH)
            announced = {"text": "Maintenance on Friday from 8 to 10: sessions end at 7:45.", "level": "warning"}
            visitor.call("POST", f"{OVERVIEW_PATH}api/announcements", announced).raise_for_status()
            visitor.start_server({"profile": "small"})
            visitor.stop_server()
            visitor.start_server({"profile": "large"})
            visitor.call("POST", f"/hub/api/users/{name}/servers/training", {"profile": "queued"}).raise_for_status()
            token = visitor.call("POST", f"/hub/api/users/{name}/tokens", {}).json()["token"]
            headers = {"Authorization": f"token {token}"}
            requests.post(f"{hub.url}/hub/api/emkit/runs", json={"runs": _runs()}, headers=headers, timeout=60).raise_for_status()

    await asyncio.to_thread(prepare)
    page = await enter(hub, browser, name, hub.folder.owner_password)
    await page.click("#login_submit")
    await page.wait_for_url(f"**{OVERVIEW_PATH}")
    await page.get_by_role("meter", name="Memory").first.wait_for()
    await page.get_by_text("In the queue, number 1").wait_for()
    await page.set_viewport_size({"width": 1200, "height": 1050})
    save("overview", await page.screenshot(animations="disabled"))
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    save("overview-phone", await page.screenshot(animations="disabled"))
    await page.context.close()


async def busy_form(own: OwnCluster, hub: RunningHub, browser: Browser, save: Save) -> None:
    """What is left of the cluster is taken but for a core, and a job waits for all of it."""
    quiet = ["--partition=main", "--output=/dev/null", "--chdir=/", "--wrap=exec sleep 3000"]
    own.cluster.run("sbatch", "--cpus-per-task=3", "--mem=2000", "--time=41", *quiet)
    own.cluster.run("sbatch", "--nodes=3", "--ntasks-per-node=1", "--cpus-per-task=4", "--time=20", *quiet)
    planned = ["squeue", "--noheader", "--states=PENDING", "--partition=main", "--format=%Y"]
    own.cluster.until(lambda: "em" in own.cluster.run(*planned), "the waiting job is planned")
    page = await enter(hub, browser, own.settings.owner, hub.folder.owner_password)
    await page.set_viewport_size({"width": 800, "height": 760})
    await page.click("#login_submit")
    await page.goto(f"{hub.url}/hub/spawn/{own.settings.owner}/second")
    await page.locator(".emkit-profile").nth(1).locator("input[type=radio]").check()
    await page.locator(".emkit-profile").nth(1).get_by_text("No room for this now").wait_for()
    await page.get_by_role("button", name="at once").wait_for()
    save("spawn-form-busy", await page.screenshot(animations="disabled"))
    await page.context.close()


async def queue(own: OwnCluster, hub: RunningHub, browser: Browser, save: Save) -> None:
    """The page of a start that waits, on the cluster as `busy_form` leaves it."""

    def press_start() -> None:
        with Visitor(hub.url) as visitor:
            visitor.login(own.settings.owner, hub.folder.owner_password)
            visitor.get(OVERVIEW_PATH)
            visitor.call("POST", f"/hub/api/users/{own.settings.owner}/servers/waits", {"profile": "large"}).raise_for_status()

    await asyncio.to_thread(press_start)
    page = await enter(hub, browser, own.settings.owner, hub.folder.owner_password)
    await page.set_viewport_size({"width": 800, "height": 600})
    await page.click("#login_submit")
    await page.goto(f"{hub.url}/hub/spawn-pending/{own.settings.owner}/waits")
    await page.get_by_text("in about").wait_for()
    save("queue", await page.screenshot(animations="disabled"))
    await page.set_viewport_size({"width": 390, "height": 844})
    save("queue-phone", await page.screenshot(animations="disabled"))
    await page.context.close()


def _runs() -> list[dict[str, object]]:
    now = time.time()
    rows = "section 12 holds 2047 rows, 2048 were needed"
    return [
        {"id": "3", "step": "align_sections", "state": "running", "title": "vnc/stack1", "done": 0.42, "began_at": now - 340},
        {"id": "2", "step": "convert", "state": "done", "title": "stack1.ome.zarr", "began_at": now - 4000, "ended_at": now - 3500},
        {"id": "1", "step": "align_sections", "state": "failed", "title": "vnc/stack2", "message": rows, "began_at": now - 9000},
    ]


async def take_overview(save: Save) -> None:
    """On a Slurm of its own, which needs root."""
    with tempfile.TemporaryDirectory() as data:
        Path(data).chmod(0o755)  # other accounts' jobs pass through it
        kept = DataFolder(Path(data) / "data")
        kept.prepare()
        (Path(data) / "site.toml").write_text(SEVERAL_SERVERS)
        with own_cluster(kept, Path(data) / "site.toml") as own:
            environment = {"EMKIT_SETTINGS": str(own.settings_file)}
            running = RunningHub(kept, free_ports(1)[0], environment=environment, servers=own.servers())
            async with running as hub, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
                await overview(hub, browser, save, own.settings.owner)
                await busy_form(own, hub, browser, save)
                await queue(own, hub, browser, save)
                await browser.close()


def draw_lineage(folder: Path) -> None:
    """The picture that `emkit lineage` draws, of the page that tells of it."""
    emkit = Path(sys.executable).with_name("emkit")
    with tempfile.TemporaryDirectory() as data:
        for line in LINEAGE:
            subprocess.run([emkit, *line.split()], cwd=data, check=True, env={**os.environ, "EMKIT_RUNS_DIR": f"{data}/runs"})
        text = (Path(data) / "lineage.svg").read_text()
        (folder / "lineage.svg").write_text(text.replace(f"{data}/", "/data/"))


async def take(folder: Path) -> None:
    def save(name: str, png: bytes) -> None:
        file, whole = folder / f"{name}.png", Image.open(BytesIO(png)).convert("RGB")
        whole.thumbnail(LARGEST_PX)
        whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(file, optimize=True)
        print(f"{file}  {whole.width} x {whole.height}  {file.stat().st_size // 1024} kB")

    with tempfile.TemporaryDirectory() as data:
        kept = DataFolder(Path(data))
        kept.prepare()
        proxy.install()
        environment = {"EMKIT_DASHBOARDS_ACCOUNT": dashboards_account(template_folders(Settings.read(None), kept))}
        async with RunningHub(kept, free_ports(1)[0], environment=environment) as hub, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
            await owner(hub, browser, save)
            await guest(hub, browser, save)
            await browser.close()

    with tempfile.TemporaryDirectory() as data:
        kept = DataFolder(Path(data) / "data")
        kept.prepare()
        (Path(data) / "site.toml").write_text(SHORT_SESSIONS)
        environment = {"EMKIT_SETTINGS": str(Path(data) / "site.toml")}
        async with RunningHub(kept, free_ports(1)[0], environment=environment) as hub, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
            await session(hub, browser, save)
            await browser.close()

    await take_overview(save)
    await take_kernels(save)
    await take_paint(save)
    await take_runs(save)
    await take_scans(save)
    await take_stream(save)
    draw_lineage(folder)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("_static"))))
