"""A run as it is followed in a notebook: one bar, Cancel, Resume, and what is said at its end, whoever drives it.

It is followed in a thread of its own, so that the kernel still hears Cancel.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import ipywidgets as widgets
import traitlets

from emkit.errors import EmkitError
from emkit.params import Call
from emkit.progress import Cancelled, Tick
from emkit_widgets import attach, messages
from emkit_widgets.attach import Attached, Followed


class Follower(widgets.VBox):
    """`result` is what the last run returned that came to its end, and `ran` its call."""

    ran = traitlets.Instance(Call, allow_none=True, help="the call of the last run that came to its end")

    def __init__(self) -> None:
        self.result: Any = None
        self.told: Future[None] = Future()  # done when all is said of the last run that was followed
        self._followed: Followed | None = None
        self._left: Attached | None = None
        self.run = widgets.Button(description="Run", icon="play", button_style="primary")
        self.resume = widgets.Button(description="Resume", icon="forward", tooltip="Go on with the run that was cut off")
        self.cancel = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.bar, self.pace = widgets.FloatProgress(max=1.0), widgets.Label()
        self.progress = widgets.HBox([self.bar, self.pace]).add_class("emkit-progress")
        self.message = widgets.HTML().add_class("emkit-message")
        super().__init__()
        self.progress.layout.display = self.resume.layout.display = "none"
        self.cancel.on_click(lambda _: self.stop())

    @property
    def running(self) -> bool:
        """Whether the form follows a run."""
        return self._followed is not None

    @property
    def resumable(self) -> bool:
        """Whether there is a run to go on with."""
        return self._left is not None

    def stop(self) -> None:
        """Ask the run to end, wherever it is driven."""
        if self._followed:
            self._followed.cancel()
            self.cancel.disabled, self.cancel.description = True, "Cancelling…"

    def then(self, make: Callable[[Mapping[str, Any]], Any], note: str = "Shown when the step has run.") -> widgets.VBox:
        """A place for what `make` makes of the arguments of a run that came to its end, anew after each run."""
        place = widgets.VBox([widgets.HTML(messages.note_message(note))])

        def show(change: Mapping[str, Any]) -> None:
            if (call := change["new"]) is not None:
                try:
                    place.children = [make(call.values)]
                except EmkitError as refused:
                    place.children = [widgets.HTML(messages.refusal_message(refused))]

        self.observe(show, names="ran")
        show({"new": self.ran})
        return place

    def follow(self, run: Followed) -> "Future[None]":
        """Follow a run beside the kernel's other work; the future is done when all is said."""
        self._begin(run)
        ended: Future[None] = Future()
        self.told = ended

        def work() -> None:
            try:
                self._see_through(run)
            finally:
                ended.set_result(None)

        threading.Thread(target=work, name="emkit-run", daemon=True).start()  # the end of a kernel waits for no run
        return ended

    def see_through(self, run: Followed) -> BaseException | None:
        """Follow a run to its end and say what came of it; what ended it before its time."""
        self._begin(run)
        return self._see_through(run)

    def _begin(self, run: Followed) -> None:
        self._followed, self.ran = run, None
        self.offer(None)
        self.run.disabled, self.cancel.disabled, self.message.value = True, False, ""
        self.bar.value, self.pace.value = 0.0, "starting"
        self.progress.layout.display = "flex"

    def _see_through(self, run: Followed) -> BaseException | None:
        try:
            self.result = run.follow(self._heard)
        except BaseException as ended:  # noqa: BLE001 (whatever it is, it is told here: nobody reads the error of a thread)
            self._end(run, ended)
            return ended
        self._end(run, None)
        return None

    def _end(self, run: Followed, ended: BaseException | None) -> None:
        self._followed = None
        self.run.disabled, self.cancel.disabled, self.cancel.description = False, True, "Cancel"
        self.progress.layout.display = "none"
        if ended is None:
            self.message.value = messages.result_message(self.result, run.call.out, run.took_s)
            self.ran = run.call
            return
        self.offer(attach.run_of(run.call))
        if isinstance(ended, Cancelled | KeyboardInterrupt):
            self.message.value = messages.cancelled_message(ended, can_resume=self._left is not None)
        elif isinstance(ended, EmkitError):
            self.refuse(ended)
        else:
            self.message.value = messages.fault_message(ended)

    def refuse(self, refused: EmkitError) -> None:
        """Say what was refused."""
        self.message.value = messages.refusal_message(refused)

    def offer(self, left: Attached | None) -> None:
        """Show the button that goes on with this run, if it has not come to its end and nobody drives it."""
        self._left = left if left and left.folder.state in attach.RESUMABLE else None
        self.resume.layout.display = None if self._left else "none"

    def _heard(self, tick: Tick) -> None:
        self.bar.value, self.pace.value = tick.fraction or 0.0, str(tick)
