"""What the one solve for all sections costs, and what becomes of the errors of pairs in it: up to 10⁵ sections.

    python -m benchmarks.alignment_solve [--counts 1000 10000 100000] [--json FILE]

Each section is told against the next and the one after that, as `align-sections` tells it: an affine displacement of a canvas of
1,024 px, with an error of 0.1 px at its edges. Known displacements are planted and come back but for the errors, which add up from
section to section like the steps of a walk. Seconds are of one core; memory is by how much the process grew.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from emkit.align.placement import Link, corners, place_sections
from emkit.align.stacking import Pair, near_pairs, solve_affines
from emkit.run.plan import PeakMemory
from emkit.transforms import Affine, Floats

SHAPE, ERROR_PX = (1024, 1024), 0.1
NORMAL = np.diag(np.repeat([1.0, 1 / 3, 1 / 3], 2)) * ERROR_PX**-2  # of points spread over the canvas (`affine_basis`)


def apart(affines: list[Affine], distance: int) -> float:
    """How far the corners of sections so many apart are from where they were planted, against each other: root mean square, px."""
    lying = np.stack([affine.apply(corners(SHAPE)) for affine in affines])
    return float(np.sqrt(((lying[distance:] - lying[:-distance]) ** 2).sum(-1).mean()))


def solved(count: int) -> dict[str, Any]:
    """In a process of its own, whose growth is told."""
    draw = np.random.default_rng(count)
    planted = draw.normal(0, 1, (count, 6))
    noise = np.linalg.cholesky(np.linalg.inv(NORMAL))
    pairs = near_pairs(range(count))
    memory, began = PeakMemory(), time.process_time()
    said: dict[Pair, tuple[Floats, Floats]] = {}
    for i, j in pairs:
        pull: Floats = NORMAL @ (planted[j] - planted[i] + noise @ draw.normal(size=6))
        said[i, j] = NORMAL, pull
    told_s = time.process_time() - began
    steps = solve_affines(count, said, SHAPE)
    solve_s = time.process_time() - began - told_s
    middle, size = (np.array(SHAPE) - 1) / 2, max(SHAPE) / 2
    errors = []
    for step, one in zip(steps, planted.reshape(-1, 2, 3), strict=True):
        found = np.column_stack([step.apply(middle) - middle, (step.linear - np.eye(2)) * size])
        off = found - one
        errors.append(Affine.of(np.eye(2) + off[:, 1:] / size, off[:, 0] - off[:, 1:] @ middle / size))
    grown = memory.bytes()
    links: list[Link] = [(z, z + 1, Affine()) for z in range(count - 1)]
    began = time.process_time()
    place_sections(count, links, SHAPE)
    return {
        "sections": count,
        "unknowns": 6 * count,
        "non_zeros": 36 * (count + 2 * len(pairs)),
        "solve_s": solve_s,
        "place_s": time.process_time() - began,
        "memory_bytes": grown,
        "off_px": {n: apart(errors, n) for n in (1, 10, 100, 1000, 10_000) if n < count},
    }


def line(row: dict[str, Any]) -> str:
    off = ", ".join(f"{n} {value:.2f}" for n, value in row["off_px"].items())
    return (
        f"{row['sections']:7,} sections: {row['unknowns']:7,} unknowns, {row['non_zeros']:11,} non-zeros, "
        f"solve {row['solve_s']:6.2f} s, {row['memory_bytes'] / 1e6:5.0f} MB; placed along links in {row['place_s']:6.2f} s; "
        f"px apart over {off}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for count in asked.counts:
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, json.dumps(solved(count)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        rows.append(json.loads(os.read(reading, 1 << 16)))
        print(line(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
