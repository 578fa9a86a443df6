"""How fast pairs, montages and rendering are beside other programs: CPU time, the same work in turn, and who is how exact.

    EMKIT_DATA_DIR=… python -m benchmarks.alignment_peers [--seed 7] [--n 6] [--montages 2] [--also FILE.py:FUNCTION] [--json FILE]

The peers run in an environment of their own, which is made first (`tests.peers`): OpenCV's ECC from a start that is right to a
pixel, and multiview-stitcher. ``--also`` names a function that takes what the judge hands to `pair`, such as a program that cannot
be installed beside others. Ratios are peer to emkit, work by work: their median, least and most. Rendering is beside scipy's
`map_coordinates`, through the same elastic map.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.quality import judge
from emkit.align import align_pair, render_window, solve_montage
from emkit.align.alignment import Model
from emkit.transforms import Affine, Elastic
from tests.peers import python_with

PEERS = ("opencv-python-headless==5.0.0.93", "multiview-stitcher==0.1.62")
TOOLS = Path(__file__).with_name("peer_tools.py")
SIDE = 2048  # px of the window that is rendered


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


class Peers:
    """The process that answers for other programs."""

    def __init__(self, home: Path) -> None:
        self.file = home / "task.npz"
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [str(python_with(*PEERS)), str(TOOLS)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=alone)

    def answer(self, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        np.savez(self.file, **given)
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("the peers have no pipes")
        self.process.stdin.write(json.dumps({"tool": tool, "file": str(self.file)}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # programs print what they like
            if line.startswith('{"answer"'):
                found: dict[str, Any] = json.loads(line)["answer"]
                return found
        raise SystemExit(f"{tool} ended")


def pairs(harness: Any, peers: Peers, level: Model, n: int, seed: int, also: list[str]) -> list[dict[str, Any]]:
    """A row for each pair and program: CPU seconds, and for affines the median error."""
    rows = []
    for k, d in enumerate(harness.make_pairs("exact", level, n, 768, seed)):
        grid = harness.grid(768, 768, 16, 24)
        truth = d["wm"].inv(d["wf"](grid))
        seen = ((truth > 8) & (truth < 759)).all(axis=1)

        def error(maps: list[Any], grid: Any = grid, truth: Any = truth, seen: Any = seen) -> float:
            return float(np.median(np.hypot(*(harness.as_map(maps[0])(grid[seen]) - truth[seen]).T)))

        found, seconds = timed(partial(align_pair, d["fixed"], d["moving"], level))
        ours = [lambda points, found=found: found(points[:, ::-1])[:, ::-1]]
        rows.append({"pair": k, "level": level, "tool": "emkit", "seconds": seconds, "error_px": error(ours)})
        start = np.linalg.lstsq(np.column_stack([grid, np.ones(len(grid))]), truth + [0.7, -0.7], rcond=None)[0].T
        for tool in [*(["ecc"] if level == "affine" else []), *also]:
            told = peers.answer(tool, {"fixed": d["fixed"], "moving": d["moving"], "start": start, "level": level})
            row = {"pair": k, "level": level, "tool": tool.rpartition("/")[2], "seconds": told["seconds"]}
            rows.append(row | ({"error_px": error(told["maps"])} if told["maps"] else {}))
    return rows


def montages(harness: Any, peers: Peers, n: int, seed: int) -> list[dict[str, Any]]:
    """A row for each montage of 3 × 3 tiles and program: CPU seconds."""
    rows = []
    for k in range(n):
        tiles, nominal, _ = harness.make_montage(seed * 100 + k)
        _, seconds = timed(partial(solve_montage, tiles, nominal[:, ::-1]))
        told = peers.answer("stitcher", {"tiles": np.stack(tiles), "nominal": nominal})
        for tool, used in (("emkit", seconds), ("stitcher", told["seconds"])):
            rows.append({"pair": k, "level": "montage", "tool": tool, "seconds": used})
    return rows


def renderings(n: int) -> list[dict[str, Any]]:
    """A row for each window and program: CPU seconds, spline included, and how far emkit's greys are from scipy's at most."""
    draw = np.random.default_rng(3)
    section = ndimage.gaussian_filter(draw.normal(128, 200, (SIDE + 64, SIDE + 64)), 2).clip(0, 255).astype(np.uint8)
    field = ndimage.gaussian_filter(draw.normal(0, 8, (SIDE // 32 + 3, SIDE // 32 + 3, 2)), (1.6, 1.6, 0))
    mapping = Elastic(Affine.translation(20.3, 30.6), field, 32.0)
    points = np.moveaxis(np.indices((SIDE, SIDE), float), 0, -1)
    places = np.moveaxis(mapping(points.reshape(-1, 2)).reshape(SIDE, SIDE, 2), -1, 0)
    rows = []
    for k in range(n):
        ours, seconds = timed(lambda: render_window(section, mapping, (0, 0), (SIDE, SIDE)))
        theirs, used = timed(lambda: ndimage.map_coordinates(section, places, np.float32, order=3))
        off = float(np.abs(ours - theirs.clip(0, 255)).max())
        rows.append({"pair": k, "level": "rendering", "tool": "emkit", "seconds": seconds, "grey_levels": off})
        rows.append({"pair": k, "level": "rendering", "tool": "scipy", "seconds": used})
    return rows


def told(rows: list[dict[str, Any]]) -> str:
    """A line for each program and kind of work."""
    lines = []
    for level, tool in dict.fromkeys((row["level"], row["tool"]) for row in rows):
        own, mine = ({r["pair"]: r for r in rows if r["level"] == level and r["tool"] == name} for name in (tool, "emkit"))
        ratio = [own[k]["seconds"] / mine[k]["seconds"] for k in own]
        error = [row["error_px"] for row in own.values() if "error_px" in row]
        exact = f", median error {np.median(error):.3f} px" if error else ""
        seconds = np.median([row["seconds"] for row in own.values()])
        spread = f"x{np.median(ratio):5.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
        lines.append(f"{level:10} {tool:22} {seconds:7.3f} s  {spread}{exact}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--n", type=int, default=6)
    parser.add_argument("--montages", type=int, default=2)
    parser.add_argument("--also", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as home:
        peers, harness = Peers(Path(home)), judge()
        works = (
            partial(renderings, asked.n),
            partial(pairs, harness, peers, "affine", asked.n, asked.seed, asked.also),
            partial(pairs, harness, peers, "elastic", asked.n, asked.seed, asked.also),
            partial(montages, harness, peers, asked.montages, asked.seed),
        )
        rows: list[dict[str, Any]] = []
        for work in works:
            rows += (found := work())
            print(told(found), flush=True)
            if asked.json:
                asked.json.write_text(json.dumps(rows, indent=1) + "\n")
        peers.process.kill()
        peers.process.wait()


if __name__ == "__main__":
    main()
