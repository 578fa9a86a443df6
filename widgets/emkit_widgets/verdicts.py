"""The sections of a stack as a table: the verdict on each, and every statistic that it rests on."""

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from emkit.align import AlignmentReport
from emkit.align.verdicts import STATISTICS, speaking
from emkit.model import DEFECT_NAMES
from emkit_widgets.assets import script, style


class VerdictTable(anywidget.AnyWidget):
    """Draws `rows`; `selected` is a section, and follows clicks and keys. `on_key` callbacks hear the `letters`."""

    _esm = script("verdicts.js")
    _css = style("style.css")
    columns = traitlets.List(traitlets.Dict(), help="title and meaning of each statistic").tag(sync=True)
    rows = traitlets.List(traitlets.Dict(), help="z, file, verdict, bad, score, values, marked of each section").tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    letters = traitlets.List(traitlets.Unicode()).tag(sync=True)
    legend = traitlets.Unicode().tag(sync=True)

    def __init__(self, report: AlignmentReport, **kwargs: Any) -> None:
        columns = [{"title": one.title, "says": one.says} for one in STATISTICS]
        super().__init__(columns=columns, rows=_rows(report), **kwargs)
        worst = max(report.verdicts, key=lambda one: (bool(one.defect), one.score), default=None)
        self.selected = worst.z if worst else 0

    def on_key(self, hear: Callable[[str], None]) -> None:
        """Call `hear` with each of `letters` that is pressed on the table."""
        self.on_msg(lambda _, message, __: hear(str(message["key"])))


def _rows(report: AlignmentReport) -> list[dict[str, Any]]:
    told = []
    for one, marked in zip(report.verdicts, speaking(report.verdicts), strict=True):
        place, numbers = report.sections[one.z], one.statistics
        verdict = DEFECT_NAMES[one.defect] if one.defect else "good"
        told.append(
            {
                "z": one.z,
                "file": place.file,
                "verdict": f"{verdict} · skipped" if place.excluded else verdict,
                "bad": bool(one.defect),
                "score": round(one.score, 3),
                "values": [each.written(numbers[each.name]) for each in STATISTICS],
                "marked": [k for k, each in enumerate(STATISTICS) if each.name in marked],
            }
        )
    return told
