"""Pictures of kernels on nodes for the docs, for screenshots.py: one that waits on a busy cluster, one that died of its limits.

On a real Slurm of its own, which needs root.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from emkit_hub.check.pages import CHROMIUM_FLAGS
from emkit_hub.cluster import Cluster
from emkit_hub.data_folder import DataFolder, free_ports
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor
from playwright.async_api import Page, async_playwright

PATIENCE_MS = 60_000
KERNELS = """
slurm_conf = "{conf}"
[kernels.node]
title = "Python, 4 cores, 4 GB"
cpus = 4
memory_mb = 4000
runtime = "4:00:00"
"""
SITE = """
[lab]
kernels = "{kernels}"
notebook = ""
[dashboards]
pool = 0
"""
CELLS = ("squares = [n * n for n in range(10**6)]\nsum(squares)", "max(squares)")
BUSY_MIN = (35, 50, 90)  # how long the jobs that fill the nodes may run


def notebook(folder: Path) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "emkit-node", "display_name": "Python, 4 cores, 4 GB", "language": "python"}
    nbformat.write(made, folder / "align.ipynb")


async def take_kernels(save: Callable[[str, bytes], None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # munge runs under an account of its own
        (folder / "slurm").mkdir()
        cluster = Cluster(folder / "slurm")
        try:
            cluster.start()
            (folder / "kernels.toml").write_text(KERNELS.format(conf=cluster.environment["SLURM_CONF"]))
            (folder / "site.toml").write_text(SITE.format(kernels=folder / "kernels.toml"))
            data = DataFolder(folder / "data")
            data.prepare()
            notebook(data.home)
            environment = {"EMKIT_SETTINGS": str(folder / "site.toml")}
            async with RunningHub(data, free_ports(1)[0], environment=environment) as hub, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=os.environ.get("EMKIT_BROWSER"), args=CHROMIUM_FLAGS)
                page = await browser.new_page(viewport={"width": 1000, "height": 420})
                page.set_default_timeout(PATIENCE_MS)
                await _take(cluster, hub, page, save)
                await browser.close()
        finally:
            cluster.stop()


async def _take(cluster: Cluster, hub: RunningHub, page: Page, save: Callable[[str, bytes], None]) -> None:
    for minutes in BUSY_MIN:
        cluster.run("sbatch", "--exclusive", f"--time={minutes}", "--output=/dev/null", "--chdir=/", "--wrap=sleep 6000")
    with Visitor(hub.url) as visitor:
        visitor.login("owner", hub.folder.owner_password)
        visitor.start_server()
    await page.goto(hub.url)
    await page.fill("#username_input", "owner")
    await page.fill("#password_input", hub.folder.owner_password)
    await page.click("#login_submit")
    await page.goto(f"{hub.url}/user/owner/lab/tree/align.ipynb")
    banner = page.locator(".emkit-kernel")
    await banner.get_by_text("Expected to start").wait_for()
    await page.get_by_text("| Connecting").wait_for()
    await page.keyboard.press("Control+b")  # no file browser: the notebook is what matters
    await page.locator(".jp-Notebook .jp-Cell").first.click()
    await page.keyboard.press("Control+Enter")
    await page.get_by_text("[*]:").wait_for()
    save("kernel-queued", await page.screenshot(animations="disabled"))

    kernel_job = cluster.run("squeue", "--noheader", "--format=%i %j").split("emkit-kernel-")[0].split()[-1]
    cluster.run("scontrol", "update", f"JobId={kernel_job}", "TimeLimit=1")
    for line in cluster.run("squeue", "--noheader", "--format=%i %j").splitlines():
        if "emkit-kernel-" not in line:
            cluster.run("scancel", line.split()[0])
    await page.get_by_text("| Idle").wait_for()
    await page.locator(".emkit-kernel[data-state=dead]").wait_for(timeout=4 * PATIENCE_MS)  # its time limit is a minute
    save("kernel-dead", await page.screenshot(animations="disabled"))
