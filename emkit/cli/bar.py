"""Progress for people: one bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emkit.progress import Listener, Tick

LINE_EVERY_S = 10.0


@contextmanager
def bar() -> Iterator[Listener]:
    """One bar, with rate and remaining time; a new stage takes it over."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, said="")
        stage = ""

        def hear(tick: Tick) -> None:
            nonlocal stage
            if tick.what != stage:
                stage = tick.what
                progress.reset(task, description=stage, total=tick.total)
            progress.update(task, completed=tick.done, said=f"{tick.done}/{tick.total or '?'} {tick.unit}, {tick.rate:.3g}/s")

        yield hear


def lines() -> Listener:
    """A line on standard error when a stage ends, and every ten seconds of a long one."""
    last: dict[str, float] = {}

    def hear(tick: Tick) -> None:
        if tick.done == tick.total or tick.seconds - last.get(tick.what, 0.0) >= LINE_EVERY_S:
            last[tick.what] = tick.seconds
            print(tick, file=sys.stderr, flush=True)

    return hear
