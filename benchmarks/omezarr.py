"""OME-Zarr with its pyramid, written by emkit and by the plain tensorstore route: speed and peak memory.

    python -m benchmarks.omezarr [--mib 1024] [--rounds 5] [--folder /dev/shm] [--json FILE]

Both begin with a (z, y, x) array in a file and end with the same bytes on disk: same codec, chunks, shards, levels, and all cores.
`plain` is what one writes first: the array in memory, written as level 0; then each level read whole through
`tensorstore.downsample` from the one before, and written. `emkit` works in blocks, as its steps do. Every run is a process of its
own, the two take turns, and a ratio is of one round. The image is smooth with noise on top, so that it packs as badly as real
sections do; the labels are cells of 13 voxels a side. Peak memory is the high-water mark of the process, libraries included; cpu is
what all its threads took. A folder in memory leaves the disk out of it, which would be the same for both.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorstore
from numpy.typing import NDArray

from emkit.blocks import Block
from emkit.io.omezarr import build_block, create_volume, levels_to_build, read_levels, shard_grid, write_block
from emkit.model import Shape, SizeNm, VolumeKind
from emkit.run.machine import cores

VOXEL_NM: SizeNm = (8.0, 8.0, 8.0)
DTYPES: dict[VolumeKind, str] = {"image": "uint8", "labels": "uint32"}
TILE: Shape = (128, 512, 512)
Measured = dict[str, float]


def write_source(file: Path, kind: VolumeKind, mib: int) -> None:
    """A cube of this size as .npy, repeated from one small block."""
    generator = np.random.default_rng(0)
    if kind == "labels":
        cells = generator.integers(1, 2**31, [-(-n // 13) for n in TILE], DTYPES[kind])
        tile = cells.repeat(13, 0).repeat(13, 1).repeat(13, 2)[: TILE[0], : TILE[1], : TILE[2]]
    else:
        from scipy.ndimage import gaussian_filter

        smooth = gaussian_filter(generator.standard_normal(TILE, np.float32), 4)
        noisy = smooth / smooth.std() * 30 + generator.standard_normal(TILE, np.float32) * 12 + 128
        tile = np.clip(noisy, 0, 255).astype(DTYPES[kind])
    side = round((mib * 2**20 / tile.itemsize) ** (1 / 3) / 64) * 64
    wide = np.tile(tile, (1, -(-side // TILE[1]), -(-side // TILE[2])))[:, :side, :side]
    array = np.lib.format.open_memmap(file, "w+", tile.dtype, (side, side, side))
    for z in range(0, side, TILE[0]):
        array[z : z + TILE[0]] = wide[: side - z]


def plain(file: Path, out: Path, kind: VolumeKind) -> None:
    """The array in memory, whole levels one after the other."""
    array = np.load(file)
    create_volume(out, shape=array.shape, dtype=array.dtype.name, voxel_size_nm=VOXEL_NM, kind=kind)
    folders = [out / level.path for level in read_levels(out)]
    stores = [tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{f}/"}}).result() for f in folders]
    stores[0].write(array).result()
    method: Literal["mode", "mean"] = "mode" if kind == "labels" else "mean"
    for finer, coarser in zip(stores, stores[1:], strict=False):
        coarser.write(tensorstore.downsample(finer, [2, 2, 2], method).read().result()).result()


def emkit(file: Path, out: Path, kind: VolumeKind) -> None:
    """Block by block, as many at once as there are cores."""
    source: Any = np.load(file, mmap_mode="r")
    create_volume(out, shape=source.shape, dtype=source.dtype.name, voxel_size_nm=VOXEL_NM, kind=kind)

    def convert(block: Block) -> None:
        write_block(out, block, read_block(file, source.offset, source.shape, source.dtype, block))

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(convert, shard_grid(out)))
        for level in levels_to_build(out):
            list(pool.map(partial(build_block, out, level), shard_grid(out, level)))


def read_block(file: Path, start: int, shape: Shape, dtype: "np.dtype[Any]", block: Block) -> NDArray[Any]:
    """Read, not mapped: the pages of a map would count as memory of whoever touches them."""
    voxels = np.empty(block.shape, dtype)
    (low, high), (left, right) = block.y, block.x
    with file.open("rb") as content:
        for k, z in enumerate(range(*block.z)):
            content.seek(start + (z * shape[1] + low) * shape[2] * dtype.itemsize)
            voxels[k] = np.fromfile(content, dtype, (high - low) * shape[2]).reshape(-1, shape[2])[:, left:right]
    return voxels


WAYS: dict[str, Callable[[Path, Path, VolumeKind], None]] = {"plain": plain, "emkit": emkit}


def run_one(way: str, file: Path, out: Path, kind: VolumeKind) -> Measured:
    """In a process of its own: what it took."""
    start, cpu = time.perf_counter(), time.process_time()
    WAYS[way](file, out, kind)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": int(status["VmHWM"].split()[0]) / 1024}


def measure(kind: VolumeKind, mib: int, rounds: int, folder: Path) -> dict[str, list[Measured]]:
    """Way to what each round took."""
    found: dict[str, list[Measured]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        write_source(file := Path(scratch) / "array.npy", kind, mib)
        for number in range(rounds):
            order = list(WAYS) if number % 2 else list(WAYS)[::-1]  # the second to run finds the machine as the first left it
            for way in order:
                argv = [sys.executable, "-m", "benchmarks.omezarr", "--one", way, str(file), f"{scratch}/{way}", kind]
                found[way].append(json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout))
            digests = {way: digest(Path(scratch) / way) for way in WAYS}
            if len(set(digests.values())) > 1:
                raise SystemExit(f"{kind}: the two ways wrote different bytes: {digests}")
            for way in WAYS:
                shutil.rmtree(Path(scratch) / way)
    return found


def digest(folder: Path) -> str:
    """Of all files and their names."""
    digests = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digests.update(f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digests.hexdigest()


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of each array")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, metavar=("WAY", "FILE", "OUT", "KIND"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, file, out, kind = given.one
        print(json.dumps(run_one(way, Path(file), Path(out), kind)))
        return
    results = {}
    for kind in DTYPES:
        found = results[kind] = measure(kind, given.mib, given.rounds, given.folder)
        for way, rounds in found.items():
            speeds = [given.mib / one["seconds"] for one in rounds]
            peaks = [one["peak_mib"] for one in rounds]
            print(f"{kind:6} {way:5}  {spread(speeds, 0)} MiB/s, cpu {spread([one['cpu_seconds'] for one in rounds], 1)} s, "
                  f"peak {spread(peaks, 0)} MiB")  # fmt: skip
        pairs = list(zip(found["plain"], found["emkit"], strict=True))
        print(f"{kind:6} emkit / plain: speed × {spread([theirs['seconds'] / ours['seconds'] for theirs, ours in pairs])}, "
              f"cpu × {spread([ours['cpu_seconds'] / theirs['cpu_seconds'] for theirs, ours in pairs])}, "
              f"memory × {spread([ours['peak_mib'] / theirs['peak_mib'] for theirs, ours in pairs])}")  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
