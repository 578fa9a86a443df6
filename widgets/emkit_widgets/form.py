"""A form for any step, made from its signature: fields, Plan, Run, Cancel, one bar, one message.

What is typed goes through `Call.of` at each change, as a command line's words do, and what is refused is said beside the
field that is wrong. Nothing is computed until Run is pressed: a dashboard can show the form at once. A form that is made
while a run writes its output follows that run.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

import ipywidgets as widgets
import traitlets

from emkit.errors import EmkitError, ParameterError, ResourceError
from emkit.params import Call, Writes, parameters
from emkit.run.folder import State
from emkit.run.plan import gate
from emkit.run.room import default_place
from emkit.run.step import plan_of
from emkit_widgets import attach, messages
from emkit_widgets.assets import style
from emkit_widgets.attach import Attached, Followed, Here
from emkit_widgets.fields import Field, PlaceField
from emkit_widgets.follow import Follower

STYLE = f"<style>{style('style.css')}</style>"
KEEP = "The run goes on when this notebook, its kernel and its server are gone. Opened again, the notebook shows the same bar."


class StepForm(Follower):
    """The form of a step; `initial` fills its fields. `result` is what the last run returned, `ran` its call.

    >>> import emkit
    >>> form = StepForm(emkit.make_phantom, out="demo")
    >>> form.call().values["out"].name
    'demo'
    """

    def __init__(self, function: Callable[..., Any], **initial: Any) -> None:
        super().__init__()
        self.function = function
        self.fields = {p.name: Field(p, initial.get(p.name)) for p in parameters(function)}
        for name in initial.keys() - self.fields.keys():
            near = get_close_matches(name, self.fields, 1) or list(self.fields)
            raise ParameterError(f"{name}: {function.__name__} has no such parameter. Did you mean {' or '.join(near)}?")
        self.plan = widgets.Button(description="Plan", icon="calculator", tooltip="What the run would need; nothing is written")
        self.keep = widgets.Checkbox(description="Keep running", indent=False, tooltip=KEEP)
        self.on = PlaceField()
        self.overwrite = widgets.Checkbox(description="Replace an output that exists", indent=False)
        self.children = self._rows()
        self.add_class("emkit-form")

        self.run.on_click(lambda _: self.start())
        self.resume.on_click(lambda _: self.go_on())
        self.plan.on_click(lambda _: self.show_plan())
        for field in self.fields.values():
            field.entry.observe(lambda _: self._settle(), names="value")
        if self.output:
            self.output.entry.observe(lambda _: self._look_if_there(), names="value")
        self._settle()
        self.look()

    def _rows(self) -> list[Any]:
        needed = [field for field in self.fields.values() if field.parameter.required]
        mine = attach.may_be_kept(self.function.__name__)
        others = [*(field for field in self.fields.values() if not field.parameter.required), *[self.on] * mine]
        self.more = widgets.Accordion([widgets.VBox(others)], titles=("More settings",)).add_class("emkit-more")
        self.output = next((field for field in self.fields.values() if isinstance(field.parameter.role, Writes)), None)
        options = [*[self.keep] * mine, *[self.overwrite] * bool(self.output)]
        buttons = widgets.HBox([self.run, self.plan, self.cancel, self.resume, *options]).add_class("emkit-buttons")
        return [widgets.HTML(STYLE), *needed, *[self.more] * bool(others), buttons, self.progress, self.message]

    def take(self, other: "StepForm", **fields: str) -> Self:
        """This form, whose fields, `here="there"`, follow those of another: what is typed there stands here too.

        >>> import emkit
        >>> made = StepForm(emkit.make_phantom, out="demo")
        >>> StepForm(emkit.align_sections).take(made, source="out").fields["source"].given
        'demo'
        """
        for here, there in fields.items():
            traitlets.dlink((other.fields[there].entry, "value"), (self.fields[here].entry, "value"))
        return self

    def call(self) -> Call:
        """What the fields hold, validated; an empty field is an argument that is not given."""
        given = {name: field.given for name, field in self.fields.items()}
        return Call.of(self.function, {name: value for name, value in given.items() if value is not None})

    def look(self) -> None:
        """Find the run that writes the output, or wrote it: follow it, show its result, or offer to go on with it."""
        self.offer(None)
        try:
            call = self.call()
        except ParameterError:
            return
        if self.running or (found := attach.run_of(call)) is None:
            return
        state, others = found.folder.state, attach.differences(call, found.call)
        if state is not State.DONE:
            self.keep.value = found.was_kept
        if attach.is_running(found.folder):
            self.follow(found if others else Attached(call, found.folder))
            self.message.value = messages.found_message(found.folder, others)
        elif state is State.DONE and not others and found.call.out and found.call.out.exists():
            self.see_through(Attached(call, found.folder))
            self.message.value = messages.earlier_message(found.folder) + self.message.value
        elif state in attach.RESUMABLE:
            self.offer(found)
            self.message.value = messages.left_message(found.folder, others)

    def _look_if_there(self) -> None:
        """After each letter of an output's name: runs are searched only where there is something."""
        self.offer(None)
        if self.output and (out := self.output.given) and attach.shows(Path(out)):
            self.look()

    def show_plan(self) -> None:
        """Say what the run would need, in numbers, and whether it fits; nothing is written."""
        try:
            on = self.on.place or default_place(detached=self.keep.value)
            planned = plan_of(call := self.call(), overwrite=self.overwrite.value, on=on)
            self._mark({})
            self.message.value = messages.plan_message(planned)
            gate(planned, call.out)
        except ResourceError as refused:
            self.message.value += messages.refusal_message(refused)
        except EmkitError as refused:
            self.refuse(refused)

    def start(self) -> "Future[None] | None":
        """Run beside the kernel's other work; the future is done when all is said. None where the form refuses, or runs already."""
        if self.running:
            return None
        try:
            (call := self.call()).check(overwrite=self.overwrite.value)
            run: Followed = Here(call, self.overwrite.value, self.on.place)
            if self.keep.value:
                run = attach.keep_running(call, overwrite=self.overwrite.value, on=self.on.place)
        except EmkitError as refused:
            self.refuse(refused)
            return None
        return self._followed_from_here(run)

    def go_on(self) -> "Future[None] | None":
        """Resume the run that has not come to its end, here or by itself; as `start`."""
        if self.running or (left := self._left) is None:
            return None
        try:
            run: Followed = attach.resumed(left, self.on.place) if self.keep.value else left.here()
        except EmkitError as refused:
            self.refuse(refused)
            return None
        return self._followed_from_here(run)

    def _followed_from_here(self, run: Followed) -> "Future[None]":
        self._mark({})
        ended = self.follow(run)
        if isinstance(run, Attached):
            self.message.value = messages.kept_message(run.folder)
        return ended

    def run_now(self) -> Any:
        """Run and wait, for a notebook that nobody sits before. What is refused is raised."""
        run = Here(self.call(), self.overwrite.value, self.on.place)
        self._mark({})
        if refused := self.see_through(run):
            raise refused
        return self.result

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
        self.message.value = messages.note_message(f"Still needed: {labels}.") if missing else ""
        self.run.disabled = bool(wrong) or self.running
        self.plan.disabled = bool(wrong)

    def refuse(self, refused: EmkitError) -> None:
        """Say what was refused, and beside the fields which of them it is about."""
        self._mark(self._blamed(refused))
        self.message.value = messages.refusal_message(refused)

    def _blamed(self, refused: BaseException) -> dict[str, str]:
        """Each line of a refusal begins with the parameter it is about, as `source:` or `voxel_size_nm[1]:`."""
        lines = [(line.partition(" ")[0].rstrip(":").partition("[")[0], line) for line in str(refused).splitlines()]
        return {name: line.removeprefix(f"{name}: ") for name, line in lines if name in self.fields}

    def _mark(self, wrong: Mapping[str, str], hush: Collection[str] = ()) -> None:
        for name, field in self.fields.items():
            field.tell("" if name in hush else wrong.get(name, ""))
            if name in wrong and name not in hush and not field.parameter.required:
                self.more.selected_index = 0
