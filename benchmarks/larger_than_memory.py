"""A volume of four times the memory of its job: predicted, segmented, and a cell of it meshed, under a limit of the kernel.

    python benchmarks/larger_than_memory.py [--megabytes N] [--times N] [--steps N] [--seed N] [--folder FOLDER] [--json FILE]

The limit is that of a control group: driver, nursery and workers of a command are all in it, and what they read and write through
the page cache; whoever needs more is killed by the kernel. No swap. Making the volume, a phantom of nerve cord in mirror images of
itself, and training the model, on one of those, are not in it. Told of each command: core-seconds, the most that its processes held
of their own (anonymous pages, looked at ten times a second), and the most with the cache, by the kernel's own count, which fills
whatever the limit leaves. Tasks are done one at a time (`--on local:1`). Needs the right to make control groups, as root has.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import emkit
from emkit.blocks import Block
from emkit.io.omezarr import build_block, create_volume, levels_to_build, read_region, read_volume, shard_grid, write_block
from emkit.io.sections import open_stack, read_section
from emkit.run.machine import GROUPS
from emkit.steps.segmenting import CELLS, GRAPH

NM = (45.0, 4.6, 4.6)
SECTIONS, SIDE_PX = 8, 512  # of the phantom
COMMAND = (sys.executable, "-c", "import sys; from emkit.cli import main; sys.exit(main())")
LOOK_S = 0.1


@dataclass(frozen=True)
class Group:
    """A control group of this name below that of this process, with its files in either version."""

    path: Path
    limit: str
    swap: str
    peak: str
    anonymous: str

    @classmethod
    def make(cls, name: str, limit_bytes: int) -> "Group":
        """PermissionError or OSError where none can be made."""
        told = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        old = next((path for _, controllers, path in told if "memory" in controllers.split(",")), None)
        if old is not None:
            names = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes", "total_rss"
            group = cls(GROUPS / "memory" / old.strip("/") / name, *names)
        else:
            own = next(path for number, _, path in told if number == "0")
            group = cls(GROUPS / own.strip("/") / name, "memory.max", "memory.swap.max", "memory.peak", "anon")
        group.path.mkdir()
        (group.path / group.limit).write_text(str(limit_bytes))
        if (group.path / group.swap).is_file():
            (group.path / group.swap).write_text(str(limit_bytes if old is not None else 0))
        return group

    def run(self, words: Sequence[str | Path], runs: Path) -> dict[str, float]:
        """A command within it, to its end: exit code, core-seconds, and bytes."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [*COMMAND, *map(str, words)], env={**os.environ, "EMKIT_RUNS_DIR": str(runs)}, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: (self.path / "cgroup.procs").write_text(str(os.getpid())),
        )  # fmt: skip
        own, ended = [0], threading.Event()
        looker = threading.Thread(target=self._look, args=(own, ended))
        looker.start()
        code = process.wait()
        ended.set()
        looker.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        core_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"exit": code, "core_s": core_s, "own_bytes": own[0], "with_cache_bytes": int((self.path / self.peak).read_text())}

    def _look(self, most: list[int], ended: threading.Event) -> None:
        while not ended.wait(LOOK_S):
            told = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
            most[0] = max(most[0], int(told[self.anonymous]))


def write_phantom(raw: Path, out: Path, size_bytes: int, side_px: int = 4096) -> tuple[int, int, int]:
    """A volume of so many bytes, 16 bits a voxel: the phantom with its mirror images, which meet, over and over; its shape."""
    stack = open_stack(raw)
    piece = np.stack([read_section(stack, z) for z in range(SECTIONS)]).astype(np.uint16) * np.uint16(257)
    for axis in range(3):
        piece = np.concatenate([piece, np.flip(piece, axis)], axis)
    shape = max(1, -(-size_bytes // (2 * side_px**2))), side_px, side_px
    create_volume(out, shape=shape, dtype="uint16", voxel_size_nm=NM)
    for block in shard_grid(out):
        write_block(out, block, _part(piece, block))
    for level in levels_to_build(out):
        for block in shard_grid(out, level):
            build_block(out, level, block)
    return shape


def _part(piece: NDArray[Any], block: Block) -> NDArray[Any]:
    spans = zip((block.z, block.y, block.x), piece.shape, strict=True)
    return np.ascontiguousarray(piece[np.ix_(*(np.arange(*span) % size for span, size in spans))])


def largest_cell(segmentation: Path) -> int:
    """The number of a cell that is in many voxels of the coarsest level."""
    level = len(read_volume(segmentation).levels) - 1
    z, y, x = read_volume(segmentation).levels[level].shape
    cells = read_region(segmentation, level, Block((0, z), (0, y), (0, x)))
    labels, counts = np.unique(cells[cells > 0], return_counts=True)
    return int(labels[counts.argmax()])


def prepare(folder: Path, size_bytes: int, steps: int, seed: int) -> tuple[Path, Path]:
    """A model and a volume of so many bytes; what stands in the folder already is taken."""
    raw, model, volume = folder / "raw", folder / "model", folder / "volume.ome.zarr"
    if not raw.exists():
        emkit.make_phantom(out=raw, sections=SECTIONS, size_px=SIDE_PX, cells=True, seed=seed)
    if not model.exists():
        learning: dict[str, Any] = {"steps": steps, "width": 8, "patch_px": 96, "seed": seed}
        told: dict[str, Any] = {"label_kind": "instances", "voxel_size_nm": NM}
        emkit.train_membranes(images=raw, labels=raw / "cells", out=model, **told, **learning)
    if not volume.exists():
        write_phantom(raw, folder / "unfinished.ome.zarr", size_bytes)
        (folder / "unfinished.ome.zarr").rename(volume)
    return model, volume


def demonstrate(folder: Path, model: Path, volume: Path, limit_bytes: int) -> dict[str, Any]:
    """The commands, in a folder of their own; what was measured, by command."""
    shape = read_volume(volume).levels[0].shape
    probability, cells, runs = folder / "p.ome.zarr", folder / "cells.ome.zarr", folder / "runs"
    found: dict[str, Any] = {"limit_bytes": limit_bytes, "volume_bytes": 2 * prod(shape), "shape": shape, "commands": {}}
    words: dict[str, list[str | Path]] = {
        "predict-membranes": [model, volume, "-o", probability, "--tta", "1", "--gray", "source"],
        "segment": [probability, "-o", cells],
        "mesh": [cells, "-o", folder / "cells.mesh", "--finest-level", "2"],
    }
    for number, (name, rest) in enumerate(words.items()):
        more = ["--objects", str(largest_cell(cells))] if name == "mesh" else []
        group = Group.make(f"emkit-{os.getpid()}-{number}", limit_bytes)
        try:
            told = group.run([name, *rest, *more, "--on", "local:1"], runs)
        finally:
            group.path.rmdir()
        print(
            f"{name:18s} exit {told['exit']}, {told['core_s']:6.0f} core-s, {told['own_bytes'] / 1e6:5.0f} MB of its own, "
            f"{told['with_cache_bytes'] / 1e6:5.0f} MB with the cache",
            flush=True,
        )
        found["commands"][name] = told
        if told["exit"]:
            break
        if name == "segment":
            found["cells"] = int(np.load(cells / GRAPH / CELLS, mmap_mode="r").max())
            print(f"{found['cells']:,} cells", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=640, help="of the limit, 2^20 bytes")
    parser.add_argument("--times", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps model and volume, and takes those that it has; by default none is kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as work:
        prepared = prepare(given.folder or Path(work), int(given.times * given.megabytes * 2**20), given.steps, given.seed)
        found = demonstrate(Path(work), *prepared, given.megabytes * 2**20)
    voxels = " x ".join(map(str, found["shape"]))
    print(f"{voxels} voxels, {found['volume_bytes'] / 1e6:,.0f} MB, under a limit of {found['limit_bytes'] / 1e6:,.0f} MB")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(any(one["exit"] for one in found["commands"].values()))


if __name__ == "__main__":
    main()
