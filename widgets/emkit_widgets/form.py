"""A form for any step, made from its signature: fields, Plan, Run, Cancel, one bar, one message.

What is typed goes through `Call.of` at each change, as a command line's words do, and what is refused is said beside the
field that is wrong. The run works in a thread of its own, so that the kernel still hears Cancel. Nothing is computed
until Run is pressed: a dashboard can show the form at once.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import traitlets

from emkit.errors import EmkitError, ParameterError
from emkit.params import Call, Writes, parameters
from emkit.progress import Cancelled, Tick, listening
from emkit.run.drive import execute
from emkit.run.step import plan_of
from emkit_widgets.fields import Field
from emkit_widgets.messages import fault_message, note_message, plan_message, refusal_message, result_message

STYLE = f"<style>{Path(__file__).with_name('style.css').read_text()}</style>"


class StepForm(widgets.VBox):
    """The form of a step; `initial` fills its fields. `result` is what the last run returned.

    >>> import emkit
    >>> form = StepForm(emkit.make_phantom, out="demo")
    >>> form.call().values["out"].name
    'demo'
    """

    ran = traitlets.Instance(Call, allow_none=True, help="the call of the last run that came to its end")

    def __init__(self, function: Callable[..., Any], **initial: Any) -> None:
        self.function, self.result, self.running, self._asked = function, None, False, threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"run-{function.__name__}")
        self.fields = {p.name: Field(p, initial.get(p.name)) for p in parameters(function)}
        for name in initial.keys() - self.fields.keys():
            near = get_close_matches(name, self.fields, 1) or list(self.fields)
            raise ParameterError(f"{name}: {function.__name__} has no such parameter. Did you mean {' or '.join(near)}?")
        self.run = widgets.Button(description="Run", icon="play", button_style="primary")
        self.plan = widgets.Button(description="Plan", icon="calculator", tooltip="What the run would need; nothing is written")
        self.cancel = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.overwrite = widgets.Checkbox(description="Replace an output that exists", indent=False)
        self.bar, self.pace = widgets.FloatProgress(max=1.0), widgets.Label()
        self.progress = widgets.HBox([self.bar, self.pace]).add_class("emkit-progress")
        self.message = widgets.HTML().add_class("emkit-message")
        super().__init__(self._rows())
        self.add_class("emkit-form")

        self.progress.layout.display = "none"
        self.run.on_click(lambda _: self.start())
        self.plan.on_click(lambda _: self.show_plan())
        self.cancel.on_click(lambda _: self.stop())
        for field in self.fields.values():
            field.entry.observe(lambda _: self._settle(), names="value")
        self._settle()

    def _rows(self) -> list[Any]:
        needed = [field for field in self.fields.values() if field.parameter.required]
        others = [field for field in self.fields.values() if not field.parameter.required]
        self.more = widgets.Accordion([widgets.VBox(others)], titles=("More settings",)).add_class("emkit-more")
        writes = any(isinstance(field.parameter.role, Writes) for field in self.fields.values())
        buttons = widgets.HBox([self.run, self.plan, self.cancel, *[self.overwrite] * writes]).add_class("emkit-buttons")
        return [widgets.HTML(STYLE), *needed, *[self.more] * bool(others), buttons, self.progress, self.message]

    def call(self) -> Call:
        """What the fields hold, validated; an empty field is an argument that is not given."""
        given = {name: field.given for name, field in self.fields.items()}
        return Call.of(self.function, {name: value for name, value in given.items() if value is not None})

    def show_plan(self) -> None:
        """Say what the run would need, in numbers; nothing is written."""
        try:
            self.message.value = plan_message(plan_of(self.call(), overwrite=self.overwrite.value))
            self._mark({})
        except EmkitError as refused:
            self._refuse(refused)

    def start(self) -> "Future[None] | None":
        """Run in a thread; the future is done when all is said. None where the form refuses, or runs already."""
        if self.running:
            return None
        try:
            (call := self.call()).check(overwrite=self.overwrite.value)
        except EmkitError as refused:
            self._refuse(refused)
            return None
        self._begin()
        running = self._thread.submit(self._work, call)
        return self._thread.submit(lambda: self._end(call, running.exception()))  # the one thread does it after the run

    def run_now(self) -> Any:
        """Run and wait, for a notebook that nobody sits before. What is refused is raised."""
        call = self.call()
        self._begin()
        try:
            self._work(call)
        except (EmkitError, Cancelled) as refused:
            self._end(call, refused)
            raise
        self._end(call, None)
        return self.result

    def stop(self) -> None:
        """Ask the run to end at its next tick."""
        self._asked.set()
        self.cancel.disabled, self.cancel.description = True, "Cancelling…"

    def then(self, make: Callable[[Mapping[str, Any]], Any], note: str = "Shown when the step has run.") -> widgets.VBox:
        """A place for what `make` makes of the arguments of a run that came to its end, anew after each run."""
        place = widgets.VBox([widgets.HTML(note_message(note))])

        def show(change: Mapping[str, Any]) -> None:
            if (call := change["new"]) is not None:
                try:
                    place.children = [make(call.values)]
                except EmkitError as refused:
                    place.children = [widgets.HTML(refusal_message(refused))]

        self.observe(show, names="ran")
        show({"new": self.ran})
        return place

    def _begin(self) -> None:
        self._asked.clear()
        self.running, self.ran = True, None
        self._mark({})
        self.run.disabled, self.cancel.disabled, self.message.value = True, False, ""
        self.bar.value, self.pace.value = 0.0, "starting"
        self.progress.layout.display = "flex"

    def _work(self, call: Call) -> Any:
        began = time.monotonic()
        with listening(self._heard, stop=self._asked.is_set):
            self.result = execute(call, overwrite=self.overwrite.value)
        out = next((path for _, path in call.paths(Writes)), None)
        self.message.value = result_message(self.result, out, time.monotonic() - began)
        return self.result

    def _end(self, call: Call, refused: BaseException | None) -> None:
        self.running = False
        self.run.disabled, self.cancel.disabled, self.cancel.description = False, True, "Cancel"
        self.progress.layout.display = "none"
        if refused is None:
            self.ran = call
        elif isinstance(refused, Cancelled):
            words = f"{refused}. Run it again, with nothing changed, and it goes on from there."
            self.message.value = note_message(words[0].upper() + words[1:])
        elif isinstance(refused, EmkitError):
            self._refuse(refused)
        else:
            self.message.value = fault_message(refused)

    def _heard(self, tick: Tick) -> None:
        self.bar.value, self.pace.value = tick.fraction or 0.0, str(tick)

    def _settle(self) -> None:
        """After each change: what is wrong is said beside its field, and Run waits until nothing is."""
        missing = [name for name, field in self.fields.items() if field.parameter.required and field.given is None]
        wrong: dict[str, str] = {}
        try:
            self.call()
        except ParameterError as refused:
            wrong = self._blamed(refused)
        self._mark(wrong, hush=missing)
        labels = ", ".join(self.fields[name].entry.description for name in missing)
        self.message.value = note_message(f"Still needed: {labels}.") if missing else ""
        self.run.disabled = bool(wrong) or self.running
        self.plan.disabled = bool(wrong)

    def _refuse(self, refused: BaseException) -> None:
        self._mark(self._blamed(refused))
        self.message.value = refusal_message(refused)

    def _blamed(self, refused: BaseException) -> dict[str, str]:
        """Each line of a refusal begins with the parameter it is about, as `source:` or `voxel_size_nm[1]:`."""
        lines = [(line.partition(" ")[0].rstrip(":").partition("[")[0], line) for line in str(refused).splitlines()]
        return {name: line.removeprefix(f"{name}: ") for name, line in lines if name in self.fields}

    def _mark(self, wrong: Mapping[str, str], hush: Collection[str] = ()) -> None:
        for name, field in self.fields.items():
            field.tell("" if name in hush else wrong.get(name, ""))
            if name in wrong and name not in hush and not field.parameter.required:
                self.more.selected_index = 0
