"""The course of a training below its form: loss and scores as they come, what was left out as the network sees it, Pause and Stop.

All is read from the output that the training builds, whoever drives it: a notebook that is opened again shows the same curves. The
page asks for news while it is in sight, and only then.
"""

from math import isfinite
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from emkit.steps.curves import Point, Standing, ask_to_stop, standing
from emkit_widgets.assets import script, style
from emkit_widgets.form import StepForm

NAMES = {"v_rand": "V-Rand", "v_info": "V-Info", "iou": "IoU", "f1": "F1"}
DRAWN = ("v_rand", "iou")


class TrainingCurves(anywidget.AnyWidget):
    """The training onto the output of a form of train-membranes.

        from emkit_widgets.curves import TrainingCurves

        TrainingCurves(form)

    `pause` and `go_on` are Cancel and Resume of the form. `stop` ends the training for good, with the model of its best part.
    """

    _esm = script("curves.js")
    _css = style("curves.css")
    state = traitlets.Enum(["none", "running", "paused", "stopping", "done"], default_value="none").tag(sync=True)
    loss = traitlets.List(traitlets.Any(), help="[step, loss], as it ran").tag(sync=True)
    scores = traitlets.Dict(help="by its name [step, score] of each part").tag(sync=True)
    told = traitlets.Unicode(help="how far it is, and its newest scores").tag(sync=True)
    resumable = traitlets.Bool(help="whether a training that is paused can be gone on with from here").tag(sync=True)
    sample = traitlets.Bytes(b"", help="a PNG: an image that was left out, membranes as found, as labelled").tag(sync=True)

    def __init__(self, form: StepForm, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form = form
        self.look()
        self.form.observe(lambda _: self.look(), names="ran")
        self.on_msg(self._asked)

    @property
    def out(self) -> Path | None:
        """The output that the form names."""
        named = self.form.output.given if self.form.output else None
        return Path(named) if named else None

    def look(self) -> None:
        """Show how the training stands now; what has not changed is not sent."""
        found = standing(self.out) if self.out else None
        points = found.points if found else ()
        scored = [point for point in points if point.scores]
        with self.hold_sync():
            self.state = self._state(found)
            self.resumable = self.form.resumable
            self.loss = [[point.step, point.loss] for point in points if isfinite(point.loss)]
            self.scores = {NAMES[name]: line for name in DRAWN if (line := _line(name, scored))}
            self.told = _words(points, scored)
            self.sample = found.sample if found else b""

    def pause(self) -> None:
        """End the training for now: what it learned until its last checkpoint stays."""
        self.form.stop()
        self.look()

    def go_on(self) -> None:
        """Go on with a training that is paused, from its last checkpoint."""
        self.form.go_on()
        self.look()

    def stop(self) -> None:
        """End the training, with the model of its best part."""
        if self.out and self.state == "running":
            ask_to_stop(self.out)
        self.look()

    def _state(self, found: Standing | None) -> str:
        if found is None or found.over:
            return "running" if self.form.running else "done" if found else "none"
        return "stopping" if found.stopping else "running" if self.form.running else "paused"

    def _asked(self, _: Any, message: dict[str, Any], __: list[memoryview]) -> None:
        for word, act in (("pause", self.pause), ("go_on", self.go_on), ("stop", self.stop)):
            if word in message:
                act()
        self.look()
        self.send({"looked": True})


def _line(name: str, scored: list[Point]) -> list[list[float]]:
    return [[point.step, point.scores[name]] for point in scored if name in point.scores]


def _words(points: tuple[Point, ...], scored: list[Point]) -> str:
    if not points:
        return ""
    told = f"Step {points[-1].step}, {points[-1].core_s:.0f} core-s, loss {points[-1].loss:.3f}."
    if scored:
        values = ", ".join(f"{NAMES[name]} {value:.3f}" for name, value in scored[-1].scores.items())
        told += f" On what was left out, at step {scored[-1].step}: {values}."
    return told
