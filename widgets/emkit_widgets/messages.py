"""What a form says under its buttons, as HTML: a plan in numbers, what came of a run, what was refused."""

import html
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emkit.errors import TaskError
from emkit.progress import duration
from emkit.run.folder import RunFolder, State
from emkit.run.plan import Plan, in_words

SHOWN = 8  # items of a list that are told one by one
TRACEBACK = "Traceback (most recent call last):"
LONG = 60  # letters; a longer text is an explanation, no fact


def plan_message(plan: Plan) -> str:
    """Memory, disk and time of a run that has not begun."""
    told = [
        ("Memory", f"{in_words(plan.memory_bytes)} at its peak"),
        ("Disk", in_words(plan.disk_bytes) if plan.disk_bytes else "nothing is written"),
        ("Time", f"about {duration(plan.seconds)}"),
        ("Where", plan.where),
    ]
    return _table("Plan", told)


def result_message(result: Any, out: Path | None, seconds: float) -> str:
    """The output's place and the plain values of a report; of its long tables only how long they are."""
    told = [("Output", str(out))] if out else []
    if "__str__" in vars(type(result)):  # a report that tells itself
        return _table(f"Done in {duration(seconds)}", told) + f"<pre>{html.escape(str(result))}</pre>"
    if is_dataclass(result) and not isinstance(result, type):
        values = [(field.name, getattr(result, field.name)) for field in fields(result)]
        told += [(_words(name), _shown(value)) for name, value in values if not (isinstance(value, str) and len(value) > LONG)]
    elif isinstance(result, list | tuple):
        told.append(("Result", f"{len(result)} rows"))
    elif result is not None:
        told.append(("Result", str(result)))
    return _table(f"Done in {duration(seconds)}", told)


def kept_message(folder: RunFolder) -> str:
    """Under the bar of a run that was begun to be kept."""
    words = "It goes on without this notebook and its server; opened again, the notebook shows this bar."
    return note_message(f"{words} In a terminal: emkit watch {folder.id}")


def found_message(folder: RunFolder, others: Sequence[str]) -> str:
    """Under the bar of a run that wrote this output before anybody looked; `others`: its settings that the form's are not."""
    return note_message(f"A run that was begun before writes this output.{_unlike(others)} In a terminal: emkit watch {folder.id}")


def earlier_message(folder: RunFolder) -> str:
    """Above the result of a run that had ended before anybody looked."""
    return note_message(f"Made with these settings on {_when(folder)}; shown as it stands.")


def left_message(folder: RunFolder, others: Sequence[str]) -> str:
    """Of a run onto this output that has not come to its end, and that nobody drives."""
    said = folder.said()
    how = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}.get(said["state"], "was interrupted")
    told = note_message(f"{folder.id} {how} on {_when(folder)}. Resume goes on from there." + _unlike(others))
    return told + refusal_message(TaskError(said["message"])) if said["state"] == State.FAILED else told


def cancelled_message(ended: BaseException, *, can_resume: bool) -> str:
    """After Cancel."""
    words = f"{ended}. ".removeprefix(". ")
    again = "Resume goes on from there." if can_resume else "Run it again, with nothing changed, and it goes on from there."
    return note_message(words[:1].upper() + words[1:] + again)


def note_message(words: str) -> str:
    """A quiet remark."""
    return f'<p class="emkit-remark">{html.escape(words)}</p>'


def refusal_message(refused: BaseException) -> str:
    """What was refused, or which tasks failed, in its own words; a traceback among them is folded."""
    words, begins, trace = str(refused).partition(TRACEBACK)
    told = f'<pre class="emkit-wrong">{html.escape(words.rstrip())}</pre>'
    return told + (_folded("Traceback", begins + trace) if begins else "")


def fault_message(fault: BaseException) -> str:
    """An error that no step foresaw: its words, and for a report of it the whole traceback, folded."""
    head = html.escape(f"The step stopped at an error it does not know: {type(fault).__name__}: {fault}")
    return f'<p class="emkit-wrong">{head}</p>' + _folded("For a report", "".join(traceback.format_exception(fault)))


def _when(folder: RunFolder) -> str:
    return f"{datetime.fromtimestamp(folder.said()['at']):%Y-%m-%d %H:%M}"


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary><pre>{html.escape(text)}</pre></details>"


def _unlike(others: Sequence[str]) -> str:
    return f" Its settings are others: {'; '.join(others)}." if others else ""


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("Snr", "SNR")


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple) and (len(value) > SHOWN or any(is_dataclass(item) for item in value)):
        return str(len(value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _table(head: str, told: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in told)
    return f"<strong>{html.escape(head)}</strong><table>{rows}</table>"
