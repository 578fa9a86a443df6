"""A run of many blocks: what its driver takes, how soon it is listed and resumed, how quickly a watcher draws.

    python -m benchmarks.engine_many [--blocks 100000] [--runs 1000] [--folder FOLDER] [--json FILE]

A real run: each task writes a small file and returns its digest, as blocks do, but waits for no disk. With one task to do its
driver is killed; then it is listed, alone and among a thousand others, and resumed. Each is a process as a person starts it,
imports included. The watcher's progress file has a line for each block. The peer is a plain loop that writes the same files.
"""

import argparse
import io
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

from emkit.params import Writes
from emkit.provenance import Written
from emkit.run.folder import RunFolder, State
from emkit.run.plan import Load, Plan
from emkit.run.stage import stage
from emkit.run.step import Body, bind, step

EMKIT = str(Path(sys.executable).with_name("emkit"))
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
A_FOLDER = 1000  # files
REDRAWS = 50
PATIENCE_S = 300.0


def leave_mark(out: Path, k: int, held: bool = False) -> Written:
    """One task: an empty file. The last one of a run that is held waits to be killed."""
    while held and out.with_name("hold").exists():
        signal.pause()
    name = f"{k // A_FOLDER}/{k}"
    (out / name).touch()
    return Written({name: EMPTY})


def leave_marks_of(task: tuple[Path, int]) -> Written:
    return leave_mark(*task)


@step
def leave_marks(*, out: Annotated[Path, Writes("folder")], blocks: int) -> Body[int]:
    """Leave so many empty files."""
    yield Plan(0, stages=(Load(blocks),))
    make_folders(out, blocks)
    done = yield from stage("mark", leave_mark, {str(k): (out, k, k == blocks - 1) for k in range(blocks)}, "blocks")
    return len(done)


def make_folders(out: Path, blocks: int) -> None:
    for k in range(0, blocks, A_FOLDER):
        (out / str(k // A_FOLDER)).mkdir(parents=True, exist_ok=True)


def drive(out: Path, blocks: int, run: Path | None) -> None:
    """In a process of its own: begin the run or go on with it, and tell what memory it took."""
    from benchmarks.engine_many import leave_marks  # by this name the workers find it, not as __main__
    from emkit.run.drive import execute

    execute(bind(leave_marks, out=out, blocks=blocks), folder=RunFolder(run) if run else None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def driver(out: Path, blocks: int, run: Path | None = None) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "benchmarks.engine_many", "--drive", str(out), str(blocks), str(run or "")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(there: Callable[[], bool], process: "subprocess.Popen[str]", every_s: float = 0.02) -> None:
    last = time.monotonic() + PATIENCE_S
    while not there():
        if process.poll() is not None or time.monotonic() > last:
            sys.exit(f"the driver ended too early, or never came so far: {process.poll()}")
        time.sleep(every_s)


def seconds(*argv: str) -> float:
    began = time.perf_counter()
    subprocess.run([EMKIT, *argv], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def plain_loop(out: Path, blocks: int) -> float:
    began = time.perf_counter()
    make_folders(out, blocks)
    with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.imap_unordered(leave_marks_of, ((out, k) for k in range(blocks)), chunksize=64):
            pass
    return time.perf_counter() - began


def killed_before_its_end(out: Path, blocks: int) -> tuple[RunFolder, float]:
    """A run with one task to do, whose driver was killed; the seconds that all the others took, imports included."""
    from emkit.runs import all_runs

    out.with_name("hold").touch()
    began = time.perf_counter()
    process = driver(out, blocks)
    until(lambda: bool(all_runs()) and lines_of(all_runs()[-1].journal) == blocks, process, every_s=0.25)
    took = time.perf_counter() - began
    process.kill()
    process.wait()
    out.with_name("hold").unlink()
    return all_runs()[-1], took


def resumed(run: RunFolder, out: Path, blocks: int) -> tuple[float, float, float]:
    """Seconds until the missing task was done, and until all was; the driver's peak memory in MiB."""
    size, began = run.journal.stat().st_size, time.perf_counter()
    process = driver(out, blocks, run.path)
    until(lambda: run.journal.stat().st_size > size, process)
    goes_on = time.perf_counter() - began
    told, _ = process.communicate()
    return goes_on, time.perf_counter() - began, int(told) / 2**20


def watched(run: RunFolder, lines: int) -> tuple[float, list[float]]:
    """Seconds until a watcher that comes late knows where the run is, and for each redraw after that."""
    from emkit.cli.bar import bar

    text = "".join(event(k, lines) for k in range(lines))
    (run.path / "events.jsonl").write_text(text)
    began = time.perf_counter()
    ticks, offset = run.stages()
    first, draws = time.perf_counter() - began, []
    os.environ["FORCE_COLOR"] = "1"
    with redirect_stderr(io.StringIO()), bar("as a person sees it") as draw, (run.path / "events.jsonl").open("a") as file:
        draw(ticks[-1])
        for _ in range(REDRAWS):
            print(event(lines, lines), end="", file=file, flush=True)
            began = time.perf_counter()
            _ = run.state
            ticks, offset = run.events(offset)
            draw(ticks[-1])
            draws.append(time.perf_counter() - began)
    return first, draws


def event(done: int, total: int) -> str:
    told = {"what": "mark", "done": done, "total": total, "unit": "blocks", "seconds": done / 100, "note": "", "before": 0}
    return json.dumps(told) + "\n"


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def measure(scratch: Path, blocks: int, runs: int) -> dict[str, Any]:
    os.environ["EMKIT_RUNS_DIR"] = str(scratch / "runs")
    loop_s = plain_loop(scratch / "loop", blocks)
    shutil.rmtree(scratch / "loop")
    run, first_s = killed_before_its_end(out := scratch / "marks", blocks)
    print(f"{blocks} blocks: {first_s:.1f} s with all imports, {first_s / blocks * 1e6:.0f} µs a block; "
          f"the plain loop {loop_s:.1f} s, {loop_s / blocks * 1e6:.0f} µs", flush=True)  # fmt: skip
    listed = [seconds("runs") for _ in range(3)]
    goes_on, whole, peak = resumed(run, out, blocks)
    print(f"emkit runs lists it in {spread(listed)} s, asked ≤ 2")
    print(f"resumed with one block to do: goes on after {goes_on:.2f} s, asked ≤ 2; whole, with its record, after {whole:.1f} s")
    print(f"driver's memory {peak:.0f} MiB, asked ≤ 300 MB", flush=True)
    for _ in range(runs - 1):
        other = RunFolder.new("", {**run.facts(), "step": "leave_marks"})
        other.say(State.DONE)
    among = {words: [seconds("runs", *words.split()) for _ in range(3)] for words in ("", "--json")}
    for words, took in among.items():
        print(f"emkit runs {words}{' ' * bool(words)}among {runs}: {spread(took)} s, asked < 1")
    first, draws = watched(run, blocks)
    drawn = [one * 1e3 for one in draws]
    told = f"knows them after {first * 1e3:.0f} ms, redraws in {spread(drawn, 1)} ms, asked ≤ 50"
    print(f"emkit watch, {blocks} lines of progress: {told}")
    return {
        "blocks": blocks, "loop_s": loop_s, "first_s": first_s, "listed_s": listed, "goes_on_s": goes_on, "whole_s": whole,
        "driver_mib": peak, "runs": runs, "listed_among_s": among[""], "json_among_s": among["--json"],
        "watch_first_s": first, "redraw_s": draws,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drive", nargs=3, metavar=("OUT", "BLOCKS", "RUN"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        out, blocks, run = given.drive
        drive(Path(out), int(blocks), Path(run) if run else None)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        found = measure(Path(scratch), given.blocks, given.runs)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
