"""Progress for people: a bar for each stage on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from emkit.progress import Listener, Tick

LINE_EVERY_S = 10.0
BAR_COLUMNS = 20  # what an 80-column terminal leaves beside the numbers


@contextmanager
def bar(headline: str = "") -> Iterator[Listener]:
    """Below the headline a bar for each stage, in the order of their beginnings; the bars are gone when all has ended."""
    console = Console(stderr=True)
    if headline:
        console.print(headline, style="bold", highlight=False, soft_wrap=True)
    columns = TextColumn("{task.description}"), BarColumn(BAR_COLUMNS), TextColumn("{task.fields[said]}")
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        stages: dict[str, TaskID] = {}

        def hear(tick: Tick) -> None:
            if tick.what not in stages:
                stages[tick.what] = progress.add_task(tick.what, said="")
            # the numbers are the tick's: a bar that has only just been opened knows no rate
            said = str(tick).removeprefix(f"{tick.what}: ") if tick.unit else ""  # a run that waits has nothing to count
            progress.update(stages[tick.what], total=tick.total, completed=tick.done, said=said, refresh=True)

        yield hear


def lines() -> Listener:
    """A line on standard error when a stage ends, and every ten seconds of a long one."""
    last: dict[str, float] = {}

    def hear(tick: Tick) -> None:
        if tick.done == tick.total or tick.seconds - last.get(tick.what, 0.0) >= LINE_EVERY_S:
            last[tick.what] = tick.seconds
            print(tick, file=sys.stderr, flush=True)

    return hear
