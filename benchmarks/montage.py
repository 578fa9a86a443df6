"""How exactly tiles fit, on real nerve cord cut into 3 × 3 tiles with stage error, noise and light of each tile's own.

    EMKIT_DATA_DIR=… python -m benchmarks.montage [--seeds 52 53] [--n 3] [--json FILE]

The judge (tests/judges/alignment_harness.py) makes the tiles, with and without a lens error of 4 px in the corners, and measures
how far the same tissue lies apart along the seams. Time is CPU time, in units of the judge's: one rfft2 of 1024².
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import judge
from emkit.align import solve_montage


def main() -> None:
    parse = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parse.add_argument("--seeds", type=int, nargs="+", default=(52, 53))
    parse.add_argument("--n", type=int, default=3)
    parse.add_argument("--json", type=Path)
    asked = parse.parse_args()
    harness, rows, used = judge(), [], []

    def solve(tiles: list[NDArray[np.uint8]], nominal: NDArray[np.float64]) -> list[Any]:
        began = time.process_time()
        maps = solve_montage(tiles, nominal[:, ::-1])  # the judge's points are (x, y)
        used.append((time.process_time() - began) / len(tiles))
        return [lambda points, m=m: m(points[:, ::-1])[:, ::-1] for m in maps]

    for seed in asked.seeds:
        for lens in (1.0, 0.0):
            found = harness.run_montage(solve, n=asked.n, seed=seed, lens=lens)
            rows.append({"seed": seed, "n": asked.n, "lens": lens, "bad_seams": found["bad_seams"], **found["seam"]})
            print(json.dumps(rows[-1]), flush=True)
    unit = harness.fft_unit()
    told = {"cpu_seconds_a_tile": float(np.median(used)), "in_units_of_one_fft": float(np.median(used) / unit)}
    print(json.dumps(told))
    if asked.json:
        asked.json.write_text(json.dumps({"rows": rows, **told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
