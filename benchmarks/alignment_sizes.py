"""What alignment costs as work grows: seconds and memory by the number of sections, and by their size.

    python -m benchmarks.alignment_sizes [--counts 10 30 100 300 1000] [--sides 1024 2048 4096 14000] [--montage 14000 21000]

Sections are one texture, shifted and with noise of each its own, so that neighbours match: `--counts` of them at 1 k, and four at
each of the `--sides`. The montage is one section from two tiles that overlap by an eighth, solved and rendered. Each run is a
process of its own, as `emkit run` starts it; memory is what the run itself measured: by how much its driver and workers grew.
Core-seconds are those that its processes computed, which a busy machine does not change much; seconds are those of the clock.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import emkit
from emkit.io.sections import write_section
from emkit.params import Call
from emkit.provenance import recipe_text
from emkit.run.step import bind

NM = (45.0, 4.6, 4.6)
SIDE, FEW = 1024, 4  # px of a section where their number grows; how many where they grow
GRAIN, WANDER = 2.5, 12  # px: of the texture, and by how much sections are shifted


def texture(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(y, x) grey about 128, made of a patch that is repeated with a turn: any size costs little."""
    patch = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32), GRAIN, mode="wrap")
    patch *= 40 / patch.std()
    down, across = (range(-(-n // 1024)) for n in shape)
    rows = [np.concatenate([np.rot90(patch, r + 2 * c) for c in across], axis=1) for r in down]
    return 128 + np.concatenate(rows)[: shape[0], : shape[1]]


def noisy(grey: NDArray[np.float32], seed: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    noisy: NDArray[np.uint8] = (grey + draw.normal(0, 10, grey.shape).astype(np.float32)).clip(1, 255).astype(np.uint8)
    return noisy


def ran(call: Call, home: Path) -> dict[str, Any]:
    """What the run planned and used."""
    (recipe := home / "recipe.toml").write_text(recipe_text(call))
    runs = home / "runs"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "emkit.cli", "run", str(recipe)], check=True, env={**os.environ, "EMKIT_RUNS_DIR": str(runs)}
    )
    (folder,) = runs.iterdir()
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"core_seconds": computed} | {key: facts[key] for key in ("plan", "used")}


def stack(count: int, side: int, model: str) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        (raw := Path(home, "raw")).mkdir()
        specimen = texture((side + WANDER, side + WANDER))
        for z, (y, x) in enumerate(np.random.default_rng(1).integers(0, WANDER, (count, 2)).tolist()):
            write_section(raw / f"{z:04d}.tif", noisy(specimen[y : y + side, x : x + side], z), NM)
        told: dict[str, Any] = dict(out=Path(home, "out.ome.zarr"), voxel_size_nm=NM, model=model)
        facts = ran(bind(emkit.align_sections, raw, **told), Path(home))
        return {"work": f"align {model}", "sections": count, "shape": [side, side], "parts": count, **facts}


def montage(height: int, width: int) -> dict[str, Any]:
    with TemporaryDirectory() as home:
        (raw := Path(home, "raw")).mkdir()
        wide = width * 9 // 16
        specimen = texture((height, width))
        for column in range(2):
            left = column * (width - wide)
            write_section(raw / f"r0_c{column}.tif", noisy(specimen[:, left : left + wide], column), NM)
        overlap = 1 - (width - wide) / wide
        told: dict[str, Any] = dict(out=Path(home, "out"), voxel_size_nm=NM, pattern="r{row}_c{column}.tif", overlap=overlap)
        facts = ran(bind(emkit.montage_sections, raw, **told), Path(home))
        return {"work": "montage of two tiles", "sections": 1, "shape": [height, width], "parts": 1, **facts}


def line(row: dict[str, Any]) -> str:
    used, planned = row["used"], row["plan"]
    size, each = " x ".join(map(str, row["shape"])), row["core_seconds"] / row["parts"]
    return (
        f"{row['work']:20} {row['sections']:5} of {size:14} {row['core_seconds']:8.1f} core-s, {each:7.2f} each, "
        f"{used['seconds']:7.1f} s by the clock, {used['memory_bytes'] / 1e6:6.0f} MB (planned {planned['memory_bytes'] / 1e6:.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="*", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--sides", type=int, nargs="*", default=[2048, 4096, 14_000])
    parser.add_argument("--models", nargs="+", default=["affine"])
    parser.add_argument("--montage", type=int, nargs="*", default=[14_000, 21_000])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sizes = [*((FEW, side) for side in asked.sides), *((count, SIDE) for count in asked.counts)]
    stacks = [partial(stack, *size, model) for model in asked.models for size in sizes]
    rows = []
    for measured in ([partial(montage, *asked.montage)] if asked.montage else []) + stacks:
        rows.append(measured())
        print(line(rows[-1]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
