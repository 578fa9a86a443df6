"""My runs as a panel: a table of all, and one of them in full, with Cancel and Resume.

The page asks for news while it is in sight, and only then: every second while something runs, every five otherwise. An
answer reads the ends of files, so that it costs the same for ten tasks and for 10⁵.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from emkit.errors import EmkitError
from emkit.progress import Tick, duration
from emkit.run.detached import detach
from emkit.run.folder import RunFolder, runs_home
from emkit.run.plan import in_words
from emkit.runs import find_run
from emkit.runs.glance import Glance, Glances
from emkit_widgets.assets import script, style
from emkit_widgets.attach import RESUMABLE, is_running
from emkit_widgets.messages import TRACEBACK

MOST = 200
LOG_BYTES, LOG_LINES = 16_384, 60


class RunsPanel(anywidget.AnyWidget):
    """My newest runs; `selected` is the id of the one that is shown in full, and follows clicks and arrow keys. While it is
    the newest, the next one takes its place.

        from emkit_widgets.runs import RunsPanel

        RunsPanel()

    A run that is resumed here goes on without this notebook. `refused` says what was refused last, in words.
    """

    _esm = script("runs.js")
    _css = style("style.css")
    runs = traitlets.List(traitlets.Dict(), help="of each what its line in the table tells").tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    shown = traitlets.Dict(help="the selected run in full").tag(sync=True)
    refused = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._glances = Glances()
        self.look()
        self.observe(lambda _: self.look(), names="selected")
        self.on_msg(self._asked)

    def look(self) -> None:
        """Show how the runs stand now; what has not changed is not sent."""
        glances = self._glances.newest(MOST)
        known = {glance.id: glance for glance in glances}
        followed = not self.runs or self.selected == self.runs[0]["id"]
        with self.hold_sync():
            self.runs = [_row(glance) for glance in glances]
            if followed or self.selected not in known:
                self.selected = glances[0].id if glances else ""
            self.shown = _in_full(known[self.selected]) if self.selected else {}

    def cancel(self, name: str) -> None:
        """Ask this run to end; it does within two seconds, wherever it is driven."""
        find_run(name).ask_to_cancel()

    def resume(self, name: str) -> None:
        """Go on with this run in a process, or job, of its own."""
        detach(find_run(name))

    def _asked(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        try:
            for word, answer in (("cancel", self.cancel), ("resume", self.resume)):
                if word in message:
                    self.refused = ""
                    answer(str(message[word]))
        except EmkitError as refused:
            self.refused = str(refused)
        self.look()
        self.send({"looked": True})


def _row(run: Glance) -> dict[str, Any]:
    """A line of the table, in words; numbers where the page draws them."""
    used = run.used
    return {
        "id": run.id,
        "step": run.step,
        "out": run.out or "",
        "state": run.state.value,
        "began_at": run.began_at,
        "progress": "" if run.ended else str(run.tick or run.message or "starting"),
        "done": None if run.ended or run.tick is None else run.tick.fraction,
        "time": _against(duration(run.plan.seconds), duration(used.seconds) if used else None),
        "memory": _against(in_words(run.plan.memory_bytes), in_words(used.memory_bytes) if used else None),
    }


def _in_full(run: Glance) -> dict[str, Any]:
    folder = RunFolder(runs_home() / run.id)
    stages, _ = folder.stages()
    words, begins, trace = run.message.partition(TRACEBACK)
    return {
        **_row(run),
        "stages": [_stage(tick) for tick in stages],
        "message": words.rstrip(),
        "trace": begins + trace,
        "log": _tail(folder.log),
        "folder": str(folder.path),
        "where": run.plan.where,
        "disk": _against(in_words(run.plan.disk_bytes), in_words(run.used.disk_bytes) if run.used else None),
        "can": "cancel" if is_running(folder) else "resume" if run.state in RESUMABLE else "",
    }


def _stage(tick: Tick) -> dict[str, Any]:
    """Without the name of its stage, which stands before its bar."""
    return {"what": tick.what, "done": tick.fraction, "words": str(replace(tick, what="")).removeprefix(": ")}


def _against(planned: str, used: str | None) -> str:
    return f"{used} / {planned}" if used else planned


def _tail(log: Path) -> str:
    """The last lines that a run left to itself has printed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_LINES:])
    except FileNotFoundError:
        return ""
