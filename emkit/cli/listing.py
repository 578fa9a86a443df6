"""The runs as a list for people: each with what was planned and what it really used, readable at 80 columns."""

from collections.abc import Callable, Iterator, Sequence
from os.path import commonprefix

from rich.console import Console
from rich.text import Text

from emkit.progress import duration
from emkit.run.folder import RunFolder, State
from emkit.runs.glance import Glance

STAMP = len("20261121T164314")  # how an id begins
WIDE = 120  # columns from which on a run takes one line
COLUMNS = {"run": STAMP + 2, "state": 13, "memory, MB": 16, "disk, MB": 16, "time": 23}
FOOT = "Memory, disk and time: used / planned. RUN is what stands on the left, last, or the path of the output."
STYLES = {"done": "green", "failed": "red", "interrupted": "red", "cancelled": "yellow", "running": "cyan"}


def show(known: Sequence[RunFolder], at_most: int | None, console: Console) -> None:
    """The newest last, each by the shortest beginning that only it has."""
    beginnings = _beginnings([run.id for run in known])
    shown = list(zip(known, beginnings, strict=True))[-at_most if at_most else None :]
    if not shown:
        console.print("No runs yet. Every step leaves one: emkit --help lists them.")
        return
    if more := len(known) - len(shown):
        console.print(f"{more} older runs are not shown: emkit runs --all", style="dim")
    wide = console.width >= WIDE
    console.print("".join(name.ljust(width) for name, width in COLUMNS.items()).rstrip(), style="bold")
    for run, beginning in shown:
        for line in _told(beginning, Glance.at(run), wide):
            console.print(line, soft_wrap=True)  # never cut: a path is there to be copied
    console.print(FOOT, style="dim", highlight=False)


def _told(beginning: str, run: Glance, wide: bool) -> Iterator[Text]:
    planned, used = run.plan, run.used
    words = [
        _pair(_megabytes, planned.memory_bytes, used.memory_bytes if used else None),
        _pair(_megabytes, planned.disk_bytes, used.disk_bytes if used else None),
        _pair(duration, planned.seconds, used.seconds if used else None),
    ]
    numbers = "".join(f"{word:{width}}" for word, width in zip(words, list(COLUMNS.values())[2:], strict=True))
    line = Text.assemble(f"{beginning:{COLUMNS['run']}}", (f"{run.state:{COLUMNS['state']}}", STYLES.get(run.state, "")), numbers)
    what = f"{run.step} → {run.out}" if run.out else run.step
    if wide:
        yield line.append(f"  {what}")
    else:
        yield line
        yield Text(f"  {what}")
    if run.state is State.FAILED:
        yield Text(f"  {run.message.partition(chr(10))[0]}", "red")
    elif not run.ended and run.tick:
        yield Text(f"  {run.tick}", "cyan")


def _pair(words: Callable[[float], str], planned: float, used: float | None) -> str:
    return words(planned) if used is None else f"{words(used)} / {words(planned)}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f}" if size >= 1e7 else f"{size / 1e6:.1f}"


def _beginnings(ids: list[str]) -> list[str]:
    """Of each of these sorted ids the shortest beginning, not shorter than its time, that no other has."""
    shared = [0, *(len(commonprefix([a, b])) for a, b in zip(ids, ids[1:], strict=False)), 0]
    return [one[: max(STAMP, before + 1, after + 1)] for one, before, after in zip(ids, shared, shared[1:], strict=False)]
