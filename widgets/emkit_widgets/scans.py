"""The scans of a folder as a panel: a table with pictures, notes to edit, states, sizes; and what is done with one or several.

The page asks for news while it is in sight: every second and a half while something streams or is counted, every ten seconds
otherwise. Visitors of a dashboard look on: they may not write notes, count, open notebooks or delete.
"""

import base64
import csv
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from emkit.catalogue import Catalogue, Entry, size_in_words
from emkit.errors import EmkitError, PathError
from emkit.runs import find_run
from emkit_widgets.assets import script, style
from emkit_widgets.attach import DASHBOARD_VARIABLE

MOST = 200  # lines that are shown; search finds the others
PICTURES_AT_ONCE = 4  # that are made in one answer, so that the page does not wait for all
TEMPLATES = "count_a_scan.ipynb", "see_a_scan.ipynb"


class ScansPanel(anywidget.AnyWidget):
    """The scans below `folder` (left out: $EMKIT_SCANS, else the current folder), the newest first; `search` holds the words that
    each must have.

        from emkit_widgets.scans import ScansPanel

        ScansPanel("/data/titan")

    "Open notebook" fills one of `templates` (for scans with raw frames, and for those without), once for each scan, into the folder
    `notebooks`; a copy that is there is opened as it is. What was refused last is in `refused`, in words.
    """

    _esm = script("scans.js")
    _css = style("scans.css")
    folder = traitlets.Unicode("").tag(sync=True)
    may_write = traitlets.Bool(True).tag(sync=True)
    search = traitlets.Unicode("").tag(sync=True)
    rows = traitlets.List(traitlets.Dict(), help="of each what its line tells").tag(sync=True)
    more = traitlets.Int(0, help="how many are not shown").tag(sync=True)
    pictures = traitlets.Dict(help="name of a scan: its picture, as a data URL").tag(sync=True)
    question = traitlets.Dict(help="what deleting raw frames would take, while that is asked").tag(sync=True)
    notebook = traitlets.Dict(help="the notebook that was filled last: name of the scan, path from here").tag(sync=True)
    series = traitlets.Dict(help="the series that was measured last: name, table and plot").tag(sync=True)
    told = traitlets.Unicode("").tag(sync=True)
    refused = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        templates: tuple[Path | str, Path | str] = TEMPLATES,
        notebooks: Path | str = "scans",
        **kwargs: Any,
    ) -> None:
        self._templates, self._notebooks, self._series = tuple(map(Path, templates)), Path(notebooks), ""
        self._one_at_a_time = threading.RLock()  # a kernel answers the page in another thread than it runs cells in
        self._mine = DASHBOARD_VARIABLE not in os.environ  # what the page says of `may_write` decides nothing
        self._catalogue = Catalogue(folder, read_only=not self._mine)
        super().__init__(folder=str(self._catalogue.root), may_write=self._mine, **kwargs)
        self.look()
        self.observe(lambda _: self.look(), names="search")
        self.on_msg(self._asked)

    def look(self) -> None:
        """Show how everything stands now; what has not changed is not sent."""
        with self._one_at_a_time:
            self._look()

    def _look(self) -> None:
        entries = self._catalogue.entries(self.search)
        shown = entries[:MOST]
        missing = [entry for entry in shown if not self._catalogue.has_picture(entry)][:PICTURES_AT_ONCE]
        for entry in missing:
            self._catalogue.picture(entry)
        with self.hold_sync():
            self.rows, self.more = [_row(entry) for entry in shown], len(entries) - len(shown)
            drawn = {entry.name: self._catalogue.picture(entry) for entry in shown if self._catalogue.has_picture(entry)}
            self.pictures = {name: _url(png) if png else "" for name, png in drawn.items()}
            if self._series and (found := _series_of(self._catalogue.root / self._series)):
                self.series, self._series, self.told = found, "", ""

    # ---- what the page asks for, by the name of its message ----

    def note(self, name: str, text: str, before: str | None = None) -> None:
        """Write notes; refused where somebody else has edited those that stood here `before`."""
        self._catalogue.note(name, text, instead_of=before)

    def ask(self, name: str) -> None:
        """Ask whether the raw frames of this scan may be deleted, naming what goes."""
        removal = self._catalogue.removal(name)
        self.question = {"name": name, "text": removal.question, "type": bool(removal.why_not)}

    def delete(self, name: str, typed: str = "") -> None:
        """Delete the raw frames; refused unless a whole counted scan stands beside them, or the name was typed."""
        self.question = {}
        gone = self._catalogue.delete_raw(name, typed)
        self.told = f"Deleted: {len(gone.files)} raw files of {name}, {size_in_words(gone.size_bytes)}."

    def keep(self) -> None:
        """The answer is no."""
        self.question = {}

    def count(self, names: list[str]) -> None:
        """Count these, one after the other, in a run that outlives this notebook."""
        run = self._catalogue.begin(names)
        self.told = f"Counting {len(names)} {'scan' if len(names) == 1 else 'scans'}: emkit watch {run.id}"

    def measure(self, names: list[str]) -> None:
        """Count what of these is not counted, and measure all as a series, likewise."""
        name = f"series-{datetime.now():%Y%m%dT%H%M%S}"
        run = self._catalogue.begin(names, series=name)
        self._series, self.told = name, f"Measuring {len(names)} scans into {name}: emkit watch {run.id}"

    def cancel(self, run: str) -> None:
        """End the run that counts a scan."""
        find_run(run).ask_to_cancel()

    def open_notebook(self, name: str) -> None:
        """Fill a template for this scan, unless its notebook is there already."""
        template = self._templates[0 if self._catalogue.entry(name).raw else 1]
        path = self._catalogue.notebook(name, template, self._notebooks)
        self.notebook = {"name": name, "path": os.path.relpath(path, Path.cwd().resolve())}

    def _asked(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        answers: dict[str, Callable[..., None]] = {
            "note": self.note, "ask": self.ask, "delete": self.delete, "keep": self.keep, "count": self.count,
            "measure": self.measure, "cancel": self.cancel, "open": self.open_notebook,
        }  # fmt: skip
        with self._one_at_a_time:
            try:
                for word in answers.keys() & message.keys():
                    self.refused = self.told = ""
                    if not self._mine:
                        raise PathError("Visitors of a dashboard look on; nothing was changed.")
                    answers[word](*message[word])
                self._look()
            except EmkitError as refused:
                self.refused = str(refused)
        self.send({"looked": True})


def _row(entry: Entry) -> dict[str, Any]:
    """A line of the table, in words; numbers where the page draws them."""
    return {
        "name": entry.name,
        "state": entry.state.value,
        "told": entry.told,
        "done": entry.done,
        "run": entry.run,
        "at": entry.at,
        "shape": " × ".join(map(str, entry.shape or ())),
        "volume": entry.is_volume,
        "raw": "" if entry.raw_bytes is None else size_in_words(entry.raw_bytes),
        "gone": entry.raw_removed,
        "counted": "" if entry.counted_bytes is None else size_in_words(entry.counted_bytes),
        "facts": [[name, value] for name, value in entry.facts.items()],
        "notes": entry.notes,
        "can_delete": entry.raw is not None,
        "can_count": entry.raw is not None and not entry.counted,
    }


def _url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _series_of(folder: Path) -> dict[str, Any]:
    """Table and plot of a series, once they are there."""
    if not (folder / "plot.svg").is_file():
        return {}
    with (folder / "table.csv").open(newline="") as file:
        table = list(csv.reader(file))
    return {"name": folder.name, "table": table, "plot": (folder / "plot.svg").read_text()}
