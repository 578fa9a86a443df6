"""CPU-bound blocks on one and on two Slurm nodes: blocks a second over nodes times those of one.

    python -m benchmarks.scaling [--blocks 40] [--rounds 3] [--json FILE]

Three nodes of one core each, in network namespaces of this machine: one drives, the others compute, as with
`--on slurm:PROFILE:2`. The clock runs from when all workers are there until the last block is answered. Of the rounds the best
counts for each number of nodes, since whatever else this machine does can only slow them. It needs two real cores at rest,
root, and Debian's packages slurm-wlm, munge, slurmdbd and mariadb-server.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from emkit_jobs.offered import Offer
from emkit_jobs.profiles import Resources

from emkit.run.cluster import Jobs
from emkit.run.executor import outcomes
from emkit.run.worker import Failed
from tests.faults.clusters import Namespaces

ROOT = Path(__file__).parents[1]
NODES = (1, 2)
TIMES = 60  # of one block's transforms: about a second of one core
PROFILE = Resources(cpus=1, memory_mb=1000, runtime=timedelta(minutes=30))


def block(number: int) -> float:
    """A block's worth of computing: nothing is read or written."""
    pixels = np.random.default_rng(number).random((512, 512))
    for _ in range(TIMES):
        pixels = np.abs(np.fft.ifft2(np.fft.fft2(pixels)))
    return float(pixels.sum())


def drive(nodes: int, blocks: int, folder: Path) -> None:
    """In a job: do the blocks on so many worker jobs, and write down the seconds."""
    tasks = {str(k): (k,) for k in range(blocks)}
    with Jobs(Offer(PROFILE), nodes, folder / f"workers{nodes}") as hands:
        while len(hands.threads) < nodes:
            hands.answers(0.1)
        list(outcomes(hands, block, {key: tasks[key] for key in list(tasks)[:nodes]}))  # processes are forked, libraries loaded
        began = time.perf_counter()
        found = list(outcomes(hands, block, tasks))
        seconds = time.perf_counter() - began
    if failed := [one for one in found if isinstance(one, Failed)]:
        raise RuntimeError(f"{len(failed)} of {blocks} blocks failed: {failed[0]}")
    (folder / f"{nodes}.json").write_text(json.dumps(seconds))


def measure(rounds: int, blocks: int) -> dict[int, list[float]]:
    """Seconds by number of nodes, round by round."""
    with tempfile.TemporaryDirectory(prefix="emkit-scaling-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Namespaces(folder / "slurm")
        conf = cluster.folder / "slurm.conf"
        conf.write_text(conf.read_text().replace(" CPUs=4 ", " CPUs=1 "))
        found: dict[int, list[float]] = {nodes: [] for nodes in NODES}
        try:
            cluster.start()
            for _ in range(rounds):
                for nodes in NODES:
                    command = f"exec {sys.executable} -m benchmarks.scaling --drive {nodes} --blocks {blocks} --folder {folder}"
                    cluster.run("sbatch", "--wait", "--mem=1000M", f"--output={folder}/log", f"--chdir={ROOT}", f"--wrap={command}")
                    found[nodes].append(json.loads((folder / f"{nodes}.json").read_text()))
        finally:
            cluster.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drive", type=int, metavar="NODES", help="what a job of this benchmark does")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.drive:
        from benchmarks import scaling  # workers must find its functions in the module, not in __main__

        scaling.drive(given.drive, given.blocks, given.folder)
        return
    best = {nodes: min(seconds) for nodes, seconds in measure(given.rounds, given.blocks).items()}
    for nodes, seconds in best.items():
        efficiency = best[1] / (nodes * seconds)
        print(
            f"{nodes} nodes: {given.blocks} blocks in {seconds:.1f} s, {given.blocks / seconds:.2f}/s, efficiency {efficiency:.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(best))


if __name__ == "__main__":
    main()
