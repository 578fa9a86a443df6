"""One line of the table: what was looked at, how it is, what was found, and what to do where it is wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Verdict(Enum):
    GOOD = "ok"
    WRONG = "WRONG"
    NOTE = "note"  # the hub works without it, or it could not be tried from here


@dataclass(frozen=True)
class Finding:
    what: str
    verdict: Verdict
    found: str
    to_do: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.verdict is Verdict.WRONG


def good(what: str, found: str) -> Finding:
    return Finding(what, Verdict.GOOD, found)


def wrong(what: str, found: str, to_do: str) -> Finding:
    return Finding(what, Verdict.WRONG, found, to_do)


def note(what: str, found: str, to_do: str = "") -> Finding:
    return Finding(what, Verdict.NOTE, found, to_do)


_STYLE = {Verdict.GOOD: "green", Verdict.WRONG: "bold red", Verdict.NOTE: "yellow"}


def show(findings: Iterable[Finding], console: Console) -> int:
    """Print the table; the exit code: 1 when something is wrong, else 0."""
    listed = list(findings)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("what", "", "found, and what to do"):
        table.add_column(title, no_wrap=title != "found, and what to do")
    for one in listed:
        text = Text(one.found)
        if one.to_do:
            text.append(f"\n→ {one.to_do}", style="bold" if one.is_wrong else "")
        table.add_row(one.what, Text(one.verdict.value, style=_STYLE[one.verdict]), text)
    console.print(table)
    bad = sum(one.is_wrong for one in listed)
    console.print(f"\n{bad} of {len(listed)} wrong." if bad else f"\nNothing wrong in {len(listed)} lines.")
    return 1 if bad else 0
