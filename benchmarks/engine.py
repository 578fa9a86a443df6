"""What the engine takes beside its tasks: emkit against a plain loop, dask.array and cubed, the same function on the same cores.

    python -m benchmarks.engine [--rounds 3] [--blocks 12 300 1000] [--folder FOLDER] [--json FILE]

A task computes on a block of 1 MiB with numpy until it has used 1 s (10 ms, nothing) of its own processor time, writes the block,
waits until the disk has it, and returns its digest: the same function for all. The peers:

    loop    multiprocessing.Pool, a worker a core, imap_unordered: what one writes first
    dask    dask.array.map_blocks on a LocalCluster, a process of one thread for each core
    threads dask.array.map_blocks on dask's threads
    cubed   cubed.map_blocks on its threads, which here are faster than its processes

Each holds what it needs before the clock starts: imports, emkit's nursery, dask's cluster. emkit's time includes all else of a run:
the plan, the run folder, the journal, the record and the rename. A ratio is to the loop of the same round. `at work` is the share
of the time of all cores that was spent within tasks: what is missing there, the way took for itself, or let lie.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from emkit.params import Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

SIDE = 2**18  # numbers of 4 bytes: 1 MiB
CORES = len(os.sched_getaffinity(0))
SIZES = {"1 s": 1.0, "10 ms": 0.01, "no-op": 0.0}
ASKED = {"1 s": 1.03, "10 ms": 1.3}
Way = Callable[[Path, int, float], None]


def fill(out: Path, k: int, busy_s: float) -> Written:
    """One task: a block computed and written. With nothing to compute it writes nothing either."""
    if not busy_s:
        return Written({})
    began, end = time.perf_counter(), time.thread_time() + busy_s
    block = np.full(SIDE, k, np.float32)
    while time.thread_time() < end:
        np.sqrt(block, out=block)
    (file := out / f"{k}.block").write_bytes(block.tobytes())
    made = written(out, file)
    with file.open("r+b") as opened:  # for this benchmark alone: how long the task took
        opened.write(struct.pack("d", time.perf_counter() - began))
    return made


def fill_one(task: tuple[Path, int, float]) -> Written:
    return fill(*task)


@step
def fill_blocks(*, out: Annotated[Path, Writes("folder")], blocks: int, busy_s: float) -> Body[int]:
    """Compute so many blocks and write them."""
    yield Plan(0, stages=(Load(blocks),))
    out.mkdir(exist_ok=True)
    done = yield from stage("fill", fill, {str(k): (out, k, busy_s) for k in range(blocks)}, "blocks")
    return len(done)


def fill_chunk(*_: Any, out: Path, busy_s: float, block_id: tuple[int, ...]) -> Any:
    """What dask.array and cubed call: a chunk of one number stands for the block. (cubed hands over an empty one.)"""
    fill(out, block_id[0], busy_s)
    return np.zeros(1, np.int8)


def by_loop(out: Path, blocks: int, busy_s: float) -> None:
    out.mkdir()
    with get_context("fork").Pool(CORES) as pool:
        for _ in pool.imap_unordered(fill_one, ((out, k, busy_s) for k in range(blocks))):
            pass


def by_emkit(out: Path, blocks: int, busy_s: float) -> None:
    from benchmarks.engine import fill_blocks  # by this name the workers find it, not as __main__

    fill_blocks(out=out, blocks=blocks, busy_s=busy_s)


def by_dask(out: Path, blocks: int, busy_s: float, scheduler: Any) -> None:
    import dask.array

    out.mkdir()
    chunk = partial(_engine().fill_chunk, out=out, busy_s=busy_s)
    dask.array.map_blocks(chunk, chunks=((1,) * blocks,), dtype=np.int8, meta=np.zeros(0, np.int8)).sum().compute(
        scheduler=scheduler
    )


def by_cubed(out: Path, blocks: int, busy_s: float, spec: Any) -> None:
    import cubed

    out.mkdir()
    chunk = partial(_engine().fill_chunk, out=out, busy_s=busy_s)
    cubed.map_blocks(chunk, chunks=((1,) * blocks,), dtype=np.int8, spec=spec).compute()


def _engine() -> Any:
    from benchmarks import engine

    return engine


@contextmanager
def ways(scratch: Path) -> Iterator[dict[str, Way]]:
    """All of them, warm."""
    import cubed
    from distributed import Client, LocalCluster

    os.environ["EMKIT_RUNS_DIR"] = str(scratch / "runs")
    with ExitStack() as stack:
        cluster = stack.enter_context(LocalCluster(CORES, threads_per_worker=1, dashboard_address=None))
        client = stack.enter_context(Client(cluster))
        spec = cubed.Spec(
            str(scratch / "cubed-own"), allowed_mem=10**9, executor_name="threads", executor_options={"max_workers": CORES}
        )
        found: dict[str, Way] = {
            "loop": by_loop,
            "emkit": by_emkit,
            "dask": partial(by_dask, scheduler=client),
            "threads": partial(by_dask, scheduler="threads"),
            "cubed": partial(by_cubed, spec=spec),
        }
        for name, way in found.items():
            way(scratch / f"warm-{name}", 4, 0.0)
        yield found


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def seconds(way: Way, out: Path, blocks: int, busy_s: float) -> tuple[float, float]:
    """From the call to its return, and within tasks."""
    began = time.perf_counter()
    way(out, blocks, busy_s)
    took = time.perf_counter() - began
    within = sum(struct.unpack("d", file.open("rb").read(8))[0] for file in out.glob("*.block"))
    shutil.rmtree(out)
    return took, within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, nargs=3, default=[12, 300, 1000], help="of 1 s, of 10 ms, of nothing")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch, ways(Path(scratch)) as all_ways:
        for (size, busy_s), blocks in zip(SIZES.items(), given.blocks, strict=True):
            found[size] = {name: [] for name in all_ways}
            for turn in range(given.rounds):
                for name in list(all_ways)[:: 1 if turn % 2 else -1]:
                    found[size][name].append(seconds(all_ways[name], Path(scratch) / name, blocks, busy_s))
            for name, rounds in found[size].items():
                print(line(size, name, blocks, rounds, found[size]["loop"]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def line(size: str, name: str, blocks: int, rounds: list[tuple[float, float]], loop: list[tuple[float, float]]) -> str:
    """One way and one size, for people."""
    asked = f", asked ≤ {ASKED[size]}" if name == "emkit" and size in ASKED else ""
    ratio = f"× {spread([one / plain for (one, _), (plain, _) in zip(rounds, loop, strict=True)])} of the loop{asked}"
    if busy := [within / wall / CORES for wall, within in rounds if within]:
        return f"{blocks:>4} blocks of {size:5}  {name:7}  {ratio}; at work {spread(busy)}"
    each = spread([wall / blocks * 1e6 for wall, _ in rounds], 0)
    return f"{blocks:>4} blocks of {size:5}  {name:7}  {ratio}; {each} µs a task"


if __name__ == "__main__":
    main()
