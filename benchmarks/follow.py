"""How far behind a microscope `emkit follow` is: from the moment that a section is whole to its result with its record.

    python benchmarks/follow.py [--sections 60] [--every 1.0] [--size-px 1024] [--json FILE]

A feeder in a process of its own writes a section every second, in pieces with pauses, in the order of the microscope and then
shuffled; `emkit follow` measures each. The lag is by the clock of this machine, from the feeder's last byte to the last file
of the record. A plain copy of one section, settled and measured by hand, is the least that can be: settle time and one step.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PAUSE_S = 0.05  # between two pieces
PATIENCE_S = 60.0
RECIPE = """
step = "measure_section"
[arguments]
out = "checks/{stem}.csv"
[follow]
argument = "source"
pattern = "*.tif"
"""


def feed(sections: Sequence[Path], into: Path, every_s: float, *, pieces: int = 1, seed: int | None = None) -> dict[str, float]:
    """Write the sections one after another, each in pieces under its final name; when each was whole, by name.

    `seed`: in an order shuffled by it.
    """
    order = list(sections)
    if seed is not None:
        random.Random(seed).shuffle(order)
    whole: dict[str, float] = {}
    began = time.monotonic()
    for number, section in enumerate(order):
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))
        content = section.read_bytes()
        size = -(-len(content) // pieces)
        with (into / section.name).open("wb", buffering=0) as file:
            for first in range(0, len(content), size):
                file.write(content[first : first + size])
                if first + size < len(content):
                    time.sleep(PAUSE_S)
        whole[section.name] = time.time()
    return whole


def lags(folder: Path, sections: Sequence[Path], every_s: float, seed: int | None) -> list[float]:
    """Seconds from each section to its record."""
    (folder / "in").mkdir(parents=True)
    (folder / "checks").mkdir()
    (folder / "r.toml").write_text(RECIPE)
    words = ["follow", str(folder / "r.toml"), "--folder", str(folder / "in"), "--until", str(len(sections))]
    follower = subprocess.Popen(
        [sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())", *words], stderr=subprocess.DEVNULL
    )
    last = time.monotonic() + PATIENCE_S
    while not list((folder / "runs").glob("*/events.jsonl")) and time.monotonic() < last:
        time.sleep(0.05)
    whole = feed(sections, folder / "in", every_s, pieces=5, seed=seed)
    follower.wait(PATIENCE_S)
    done = {name: (folder / "checks" / f"{Path(name).stem}.csv").stat().st_ctime for name in whole}
    return [done[name] - at for name, at in whole.items()]


def main() -> int:
    """Print the lags; 1 if they are too long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sections", type=int, default=60)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    from emkit import make_phantom

    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        os.environ["EMKIT_RUNS_DIR"] = str(folder / "runs")
        make_phantom(out=folder / "raw", sections=given.sections, size_px=given.size_px)
        sections = sorted((folder / "raw").glob("*.tif"))
        for order, seed in (("in order", None), ("shuffled", 1)):
            os.environ["EMKIT_RUNS_DIR"] = str(folder / order / "runs")
            measured = lags(folder / order, sections, given.every, seed)
            p95 = statistics.quantiles(measured, n=20)[-1]
            found[order] = {"p50_s": statistics.median(measured), "p95_s": p95, "max_s": max(measured)}
            told = ", ".join(f"{name.removesuffix('_s')} {value:.2f} s" for name, value in found[order].items())
            print(f"{order}: {len(measured)} sections, one every {given.every:g} s: lag {told}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(one["p95_s"] > 2.0 for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
