"""`emkit verify` beside a plain read of the same files, and beside the digest alone: it should take as long as the slower of both.

    python -m benchmarks.engine_verify [--files 8 2000] [--mib 64 0.25] [--rounds 3] [--folder FOLDER] [--json FILE]

    read    each file after the other, from beginning to end, by one thread: the disk's sequential read
    digest  sha256 of what lies in memory already, as many threads as there are cores
    verify  the whole: the record, each file against it, and what there is besides

The pages of the files are given back to the disk before each (posix_fadvise), so that none is read from memory.
"""

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from emkit.params import Writes
from emkit.provenance import Written, written
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step
from emkit.runs import verify

ASKED = 0.8
PIECE = 2**20
CORES = len(os.sched_getaffinity(0))


def write_noise(out: Path, k: int, size: int) -> Written:
    """One task: a file that nothing can pack."""
    (file := out / f"{k}.block").write_bytes(os.urandom(size))
    return written(out, file)


@step
def write_noises(*, out: Annotated[Path, Writes("folder")], files: int, size: int) -> Body[int]:
    """Write files of noise."""
    yield Plan(0, files * size, stages=(Load(files, size),))
    out.mkdir()
    done = yield from stage("write", write_noise, {str(k): (out, k, size) for k in range(files)}, "files")
    return len(done)


def read(out: Path) -> None:
    piece = memoryview(bytearray(PIECE))
    for path in out.glob("*.block"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                continue


def digest(size: int, files: int) -> None:
    block = os.urandom(min(size, PIECE))

    def one(_: int) -> None:
        hasher = hashlib.sha256()
        for _ in range(max(1, size // PIECE)):
            hasher.update(block)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(one, range(files)))


def forget(out: Path) -> None:
    """Nothing of the output is in memory any more."""
    for path in out.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(out: Path, files: int, size: int) -> dict[str, float]:
    """MB/s of each."""
    ways: dict[str, Callable[[], object]] = {
        "read": lambda: read(out),
        "digest": lambda: digest(size, files),
        "verify": lambda: verify(out),
    }
    rates = {}
    for name, way in ways.items():
        forget(out)
        began = time.perf_counter()
        way()
        rates[name] = files * size / 1e6 / (time.perf_counter() - began)
    return rates


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[8, 2000])
    parser.add_argument("--mib", type=float, nargs="+", default=[64, 0.25], help="size of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for files, mib in zip(given.files, given.mib, strict=True):
        with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
            from benchmarks.engine_verify import write_noises  # by this name the workers find it, not as __main__

            os.environ["EMKIT_RUNS_DIR"] = f"{scratch}/runs"
            write_noises(out=Path(scratch, "noise"), files=files, size=int(mib * 2**20))
            rounds = [measure(Path(scratch, "noise"), files, int(mib * 2**20)) for _ in range(given.rounds)]
        found[f"{files} x {mib:g} MiB"] = rounds
        rates = ", ".join(f"{name} {spread([one[name] for one in rounds], 0)}" for name in rounds[0])
        shares = [one["verify"] / min(one["read"], one["digest"]) for one in rounds]
        print(
            f"{files:>5} files of {mib:g} MiB, MB/s: {rates}; verify / the slower of both × {spread(shares)}, asked ≥ {ASKED}",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
