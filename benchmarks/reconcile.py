"""Labels of blocks that touch become one: emkit against scipy's connected components, on random pairs.

    python benchmarks/reconcile.py [--labels N] [--repeats N] [--seed N] [--json FILE]

Twice as many pairs as labels. Core-seconds of one thread: of the union-find alone, and of all that gives each label its number in
the volume. The peer does the union-find with `scipy.sparse.csgraph.connected_components`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from emkit.membrane.reconciliation import number_components
from emkit.membrane.regions import unite


def core_s(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    count = given.labels
    pairs = np.random.default_rng(given.seed).integers(0, count, (2 * count, 2)).astype(np.uint64)
    signed, first, labels = pairs.astype(np.int64), np.arange(count), pairs + np.uint64(1)

    def peer() -> None:
        connected_components(coo_matrix((np.ones(len(signed), bool), (signed[:, 0], signed[:, 1])), (count, count)), directed=False)

    ways: dict[str, Callable[[], Any]] = {
        "union-find": lambda: unite(count, pairs),
        "numbers of all": lambda: number_components(first, labels),
        "scipy": peer,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeats):  # one after the other, so that what else the machine does meets all
        for name, work in ways.items():
            found[name].append(core_s(work))
    for name, times in found.items():
        print(f"{name:16s} {statistics.median(times):6.2f} core-s ({min(times):.2f} to {max(times):.2f})")
    ratio = [b / a for a, b in zip(found["union-find"], found["scipy"], strict=True)]
    print(f"scipy / union-find: {statistics.median(ratio):.1f} ({min(ratio):.1f} to {max(ratio):.1f})")
    if given.json:
        given.json.write_text(json.dumps({"labels": count, "seed": given.seed, "core_s": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
