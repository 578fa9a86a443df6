"""Pictures of kernels on nodes for the docs, for screenshots.py: one that waits on a busy cluster, one that died of its limits.

On a real Slurm of its own, which needs root.
"""

import tempfile
from pathlib import Path

from emkit_hub.cluster import Cluster
from lab import Save, open_lab, write_notebook
from playwright.async_api import Page

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
DEAD_MS = 240_000
BUSY_MIN = (35, 50, 90)  # how long the jobs that fill the nodes may run


async def take_kernels(save: Save) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # munge runs under an account of its own
        (folder / "slurm").mkdir()
        cluster = Cluster(folder / "slurm")

        def fill(home: Path) -> None:
            write_notebook(home / "align.ipynb", *CELLS, kernel="emkit-node", title="Python, 4 cores, 4 GB")
            for minutes in BUSY_MIN:
                cluster.run("sbatch", "--exclusive", f"--time={minutes}", "--output=/dev/null", "--chdir=/", "--wrap=sleep 6000")

        try:
            cluster.start()
            (folder / "kernels.toml").write_text(KERNELS.format(conf=cluster.environment["SLURM_CONF"]))
            async with open_lab(fill, 1000, 420, SITE.format(kernels=folder / "kernels.toml")) as lab:
                await lab.open("align.ipynb")
                await _take(cluster, lab.page, save)
        finally:
            cluster.stop()


async def _take(cluster: Cluster, page: Page, save: Save) -> None:
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
    await page.locator(".emkit-kernel[data-state=dead]").wait_for(timeout=DEAD_MS)  # its time limit is a minute
    save("kernel-dead", await page.screenshot(animations="disabled"))
