"""From Start to a usable server on Slurm, over Slurm's own start of an empty job: our spawner, and plain batchspawner beside it.

    python -m benchmarks.spawn_slurm [--rounds 7] [--json FILE]

Each round, interleaved: `sbatch` of a job that only writes down the time (Slurm's own start), and a start of the same
`jupyterhub-singleuser` through a hub with each spawner, from the POST to the hub's "ready". Needs root, and Debian's packages
slurm-wlm and munge.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.faults.clusters import OneHost
from tests.faults.contenders import OURS, PLAIN, Contender
from tests.faults.site import Person, Site

EMPTY = "an empty job"
SINGLEUSER = "\nc.Spawner.cmd = [{singleuser!r}, '--allow-root']\nc.Spawner.start_timeout = 120\n"


def server(site: Site, owner: Person) -> float:
    """Seconds from Start to ready; the server is stopped again."""
    began = time.perf_counter()
    owner.press_start()
    last = owner.outcome()
    wall = time.perf_counter() - began
    if not last.get("ready"):
        raise RuntimeError(str(last["message"]))
    owner.stop()
    site.no_orphans()
    return wall


def empty_job(cluster: OneHost) -> float:
    """Seconds from the call of sbatch until the job's first command has run."""
    file = cluster.folder / "started"
    began = time.time()
    cluster.run("sbatch", "--wait", "--mem=100M", "--output=/dev/null", "--chdir=/", f"--wrap=date +%s.%N > {file}")
    return float(file.read_text()) - began


def with_jupyter(contender: Contender) -> Contender:
    program = shutil.which("jupyterhub-singleuser", path=str(Path(sys.executable).parent))
    lines = SINGLEUSER.format(singleuser=program)
    return replace(contender, lines=contender.lines + lines.replace("{", "{{").replace("}", "}}"), patience_s=120)


def measure(rounds: int) -> list[dict[str, float]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emkit-spawn-")))
        folder.chmod(0o755)
        cluster = OneHost(folder / "slurm")
        stack.callback(cluster.stop)
        cluster.start()
        owners = {}
        for contender in (OURS, PLAIN):
            site = Site(folder / contender.name, cluster, with_jupyter(contender))
            stack.callback(site.stop)
            site.start()
            owners[contender.name] = site.person("owner")
            server(site, owners[contender.name])  # the first one compiles and fills the page cache
        return [
            {EMPTY: empty_job(cluster), **{name: server(owner.site, owner) for name, owner in owners.items()}}
            for _ in range(rounds)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    measured = measure(given.rounds)
    found: dict[str, dict[str, object]] = {}
    for name in (EMPTY, OURS.name, PLAIN.name):
        walls = sorted(one[name] for one in measured)
        over = sorted(one[name] - one[EMPTY] for one in measured)
        found[name] = {
            "median_s": statistics.median(walls),
            "range_s": [walls[0], walls[-1]],
            "over_empty_s": statistics.median(over),
            "over_empty_range_s": [over[0], over[-1]],
        }
        print(
            f"{name:12} {statistics.median(walls):.2f} s ({walls[0]:.2f}–{walls[-1]:.2f}), "
            f"{statistics.median(over):+.2f} s ({over[0]:+.2f} to {over[-1]:+.2f}) over {EMPTY}"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
