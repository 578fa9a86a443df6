"""The runs as a list for people: each with what was planned and what it really used, readable at 80 columns."""

from collections.abc import Iterator, Sequence
from os.path import commonprefix

from rich.console import Console
from rich.text import Text

from emkit.progress import duration
from emkit.run.folder import RunFolder, State
from emkit.runs.glance import Glance

STAMP = len("20261121T164314")  # how an id begins
WIDE = 120  # columns from which on a run takes one line
COLUMNS = {"state": 12, "memory": 13, "disk": 13, "time": 25}  # beside the run
UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6}
FOOT = "Used / planned. RUN: what stands on the left, last, or the path of the output."
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
    wide, first = console.width >= WIDE, max(len(beginning) for _, beginning in shown) + 2
    heads = "".join(f"{name:{width}}" for name, width in COLUMNS.items())
    console.print(f"{'run':{first}}{heads}{'output' * wide}".rstrip(), style="bold")
    for run, beginning in shown:
        for line in _told(f"{beginning:{first}}", Glance.at(run), wide):
            console.print(line, soft_wrap=True)  # never cut: a path is there to be copied
    console.print(FOOT, style="dim", highlight=False)


def _told(beginning: str, run: Glance, wide: bool) -> Iterator[Text]:
    planned, used = run.plan, run.used
    words = [
        run.state,
        _sizes(planned.memory_bytes, used.memory_bytes if used else None),
        _sizes(planned.disk_bytes, used.disk_bytes if used else None),
        duration(planned.seconds) if used is None else f"{duration(used.seconds)} / {duration(planned.seconds)}",
    ]
    numbers = "".join(f"{word:{width}}" for word, width in zip(words, COLUMNS.values(), strict=True))
    line = Text.assemble(beginning, numbers)
    line.stylize(STYLES.get(run.state, ""), len(beginning), len(beginning) + len(run.state))
    what = f"{run.step} → {run.out}" if run.out else run.step
    if wide:
        yield line.append(what)
    else:
        line.rstrip()
        yield line
        yield Text(f"  {what}")
    if run.state is State.FAILED:
        yield Text(f"  {run.message.partition(chr(10))[0]}", "red")
    elif not run.ended and run.tick:
        yield Text(f"  {run.tick}", "cyan")


def _sizes(planned: int, used: int | None) -> str:
    """
    >>> _sizes(595_000_000, 612_000_000), _sizes(400_000, None), _sizes(2_300_000_000_000, 1_000_000_000_000)
    ('612 / 595 MB', '0.4 MB', '1.0 / 2.3 TB')
    """
    unit, size = next((unit, size) for unit, size in UNITS.items() if planned >= size or unit == "MB")
    numbers = [planned / size] if used is None else [used / size, planned / size]
    return f"{' / '.join(f'{number:,.0f}' if number >= 10 else f'{number:.1f}' for number in numbers)} {unit}"


def _beginnings(ids: list[str]) -> list[str]:
    """Of each of these sorted ids the shortest beginning, not shorter than its time, that no other has."""
    shared = [0, *(len(commonprefix([a, b])) for a, b in zip(ids, ids[1:], strict=False)), 0]
    return [one[: max(STAMP, before + 1, after + 1)] for one, before, after in zip(ids, shared, shared[1:], strict=False)]
