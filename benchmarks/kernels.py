"""A kernel on a node: start to first output over the scheduler's own start, restart in place, interrupt. On a real one-host Slurm.

    python benchmarks/kernels.py [--rounds 9] [--json FILE]

Each round, interleaved: a trivial job from its sbatch to the first line of its script (what the scheduler itself takes); a kernel
by our provisioner from `start_kernel` to the first output of a cell, from `restart_kernel` to the first output, and from an
interrupt to the end of the cell; the same ipykernel without a job, by jupyter_client's own provisioner, since that is what any
kernel costs. What counts is the difference to the trivial job of the same round. Slurm starts a job sooner or later within a cycle,
so the time from the first line of the kernel's own job to the first output, which is free of that, stands beside it. Needs root.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from emkit_hub.cluster import Cluster
from emkit_jobs.profiles import Resources
from emkit_jobs.scheduler import Job
from emkit_jobs.slurm import Slurm, SlurmScheduler
from emkit_spawner.kernels.install import install
from emkit_spawner.kernels.settings import Kernel, KernelSettings
from jupyter_client.manager import AsyncKernelManager

LIMITS_S = {"start over the scheduler": 0.7, "restart": 0.6, "interrupt": 0.05}
PATIENCE_S = 60.0
SETTLED_S = 2.0
KERNEL = "emkit-small"


async def trivial(cluster: Cluster, folder: Path) -> float:
    """Seconds from sbatch to the first line of a job's script."""
    begun = folder / "begun"
    begun.unlink(missing_ok=True)
    job = Job("trivial", f"#!/bin/bash\necho > {begun}\n", folder, {"PATH": os.defpath}, Resources(memory_mb=100))
    began = time.perf_counter()
    await SlurmScheduler(Slurm(cluster.environment)).submit(job)
    while not begun.exists():
        await asyncio.sleep(0.002)
    return time.perf_counter() - began


async def settled(cluster: Cluster) -> None:
    """Slurm starts a job later when another one has just ended: each begins on a quiet cluster."""
    while cluster.run("squeue", "--noheader"):
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLED_S)


async def first_output(client: Any) -> None:
    """Returns when a cell has printed. Connects, and sends the cell as soon as its output cannot be missed."""
    await client.get_iopub_msg(timeout=PATIENCE_S)  # the kernel's welcome to a subscriber
    client.execute("print(1)")
    while (await client.get_iopub_msg(timeout=PATIENCE_S))["msg_type"] != "stream":
        pass


async def connect(manager: AsyncKernelManager) -> Any:
    client = manager.client()
    client.start_channels(hb=False)
    await first_output(client)
    return client


async def kernel(name: str, *, interrupt: bool) -> dict[str, float]:
    """Seconds of a kernel's start, of its restart and, where asked, of an interrupt."""
    manager = AsyncKernelManager(kernel_name=name)
    began = time.perf_counter()
    await manager.start_kernel()
    client = await connect(manager)
    started, shown = time.perf_counter(), time.time()
    client.stop_channels()
    await manager.restart_kernel()
    client = await connect(manager)
    restarted = time.perf_counter()
    found = {"start": started - began, "restart": restarted - started, "shown": shown}
    if interrupt:
        asked = client.execute("import time\nprint('begun')\ntime.sleep(600)")
        while (await client.get_iopub_msg(timeout=PATIENCE_S))["msg_type"] != "stream":
            pass
        interrupting = time.perf_counter()
        await manager.interrupt_kernel()
        while (await client.get_shell_msg(timeout=PATIENCE_S))["parent_header"]["msg_id"] != asked:
            pass
        found["interrupt"] = time.perf_counter() - interrupting
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    return found


async def rounds(cluster: Cluster, folder: Path, count: int) -> list[dict[str, float]]:
    settings = KernelSettings(
        slurm_conf=cluster.environment["SLURM_CONF"],
        folder=str(folder / "kernels"),
        kernels={"small": Kernel(title="Small", python=sys.executable, memory_mb=300, prologue=f"date +%s.%N > {folder}/began")},
    )
    install(settings, folder)
    os.environ["JUPYTER_PATH"] = str(folder / "share/jupyter")
    await kernel(KERNEL, interrupt=True)  # the first one compiles and fills the page cache
    measured = []
    for _ in range(count):
        await settled(cluster)
        scheduler = await trivial(cluster, folder)
        await settled(cluster)
        ours = await kernel(KERNEL, interrupt=True)
        in_job = ours["shown"] - float((folder / "began").read_text())
        bare = await kernel("python3", interrupt=False)
        measured.append(
            {
                "scheduler": scheduler,
                "start": ours["start"],
                "start over the scheduler": ours["start"] - scheduler,
                "first output after its job's first line": in_job,
                "restart": ours["restart"],
                "interrupt": ours["interrupt"],
                "bare start": bare["start"],
                "bare restart": bare["restart"],
                "start over the scheduler and a bare kernel": ours["start"] - scheduler - bare["start"],
            }
        )
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="emkit-kernels-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munge runs under an account of its own
        (folder / "slurm").mkdir()
        cluster = Cluster(folder / "slurm")
        try:
            cluster.start()
            measured = asyncio.run(rounds(cluster, folder, given.rounds))
        finally:
            cluster.stop()
    found = {}
    for key in measured[0]:
        values = sorted(one[key] for one in measured)
        limit = LIMITS_S.get(key)
        found[key] = {"median_s": statistics.median(values), "range_s": [values[0], values[-1]], "limit_s": limit}
        wanted = "" if limit is None else f"  (limit {limit:g})"
        print(f"{key:44} {statistics.median(values):6.3f} s  ({values[0]:.3f} to {values[-1]:.3f}){wanted}")
    if given.json:
        given.json.write_text(json.dumps({"rounds": given.rounds, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
