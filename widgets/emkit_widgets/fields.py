"""One parameter of a step as a row of a form: its name, its field, its unit, and beside them a hint or what is wrong.

Numbers are text fields: bounded widgets clamp in silence, and an empty number would read 0. What a row holds is the text
that a person typed; the one validation of all faces, `emkit.params.Call`, makes values of it.
"""

import html
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from emkit.errors import ParameterError
from emkit.params import FILES, Parameter
from emkit.run.place import Place
from emkit.run.room import places

SHOWN = 200
OWN_LABELS = {"out": "Output", "snr_threshold": "SNR threshold"}


class Field(widgets.HBox):
    """A row of the form; `text` is what goes to the validation, `changed` callbacks hear each change."""

    def __init__(self, parameter: Parameter, value: Any = None) -> None:
        self.parameter = parameter
        self.entry = _entry(parameter, value)
        self.entry.add_class("emkit-entry")
        self.note = widgets.HTML().add_class("emkit-note")
        unit = widgets.Label(parameter.unit or "\N{NO-BREAK SPACE}").add_class("emkit-unit")  # an empty one has no baseline
        super().__init__([self.entry, unit, self.note])
        self.add_class("emkit-field")
        self.tell("")

    @property
    def given(self) -> Any:
        """What is typed, as words of a command line: a string, a list of strings, a bool, or None where nothing stands."""
        typed = self.entry.value
        if isinstance(typed, bool) or not isinstance(typed, str):
            return typed
        if not (typed := typed.strip()):
            return None
        if self.parameter.role:
            return str(Path(typed).expanduser())  # a shell does this for the command; nobody else does it for the form
        return typed if self.parameter.count == 1 else typed.replace(",", " ").split()

    def fill(self, value: Any) -> None:
        """Put a value into the field, as if it had been typed."""
        self.entry.value = value if isinstance(self.entry.value, bool) else _text(value)

    def tell(self, wrong: str) -> None:
        """Show what is wrong with this field; with nothing wrong, its hint."""
        self.note.value = html.escape(wrong or self.parameter.note)
        self.note.remove_class("emkit-wrong")
        if wrong:
            self.note.add_class("emkit-wrong")


class PlaceField(widgets.HBox):
    """Where a run's tasks are done: an option of the run, beside the parameters of its step. Empty: not said."""

    def __init__(self) -> None:
        self.entry = widgets.Combobox(description="Run on", placeholder="this machine", style={"description_width": "10rem"})
        self.entry.tooltip = "Where tasks are done; the bytes are the same everywhere.\n\n--on as a command"
        with suppress(ParameterError):  # a site's file of profiles is broken: what is typed is told so
            self.entry.options = tuple(places())
        self.note = widgets.HTML("local, local:N, serial, slurm:PROFILE or dask:tcp://HOST:PORT").add_class("emkit-note")
        unit = widgets.Label("\N{NO-BREAK SPACE}").add_class("emkit-unit")
        super().__init__([self.entry.add_class("emkit-entry"), unit, self.note])
        self.add_class("emkit-field")

    @property
    def place(self) -> Place | None:
        """None where nothing is typed. ParameterError where that is no place."""
        typed = self.entry.value.strip()
        return Place.parse(typed) if typed else None


def label(parameter: Parameter) -> str:
    """`voxel_size_nm` is shown as "Voxel size", its unit stands behind the field; `out` is shown as "Output"."""
    name = parameter.name.removesuffix(f"_{parameter.unit.split()[0]}") if parameter.unit else parameter.name
    return OWN_LABELS.get(name) or name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _entry(parameter: Parameter, value: Any) -> Any:
    if value is None and not parameter.required:
        value = parameter.default
    shown: dict[str, Any] = {
        "description": label(parameter),
        "tooltip": f"{parameter.help}\n\n{parameter.name} in Python, --{parameter.name.replace('_', '-')} as a command",
        "style": {"description_width": "10rem"},
    }
    if parameter.choices:
        options = [("", None)] if value is None else []
        return widgets.Dropdown(options=[*options, *((str(choice), choice) for choice in parameter.choices)], value=value, **shown)
    if parameter.count == 0:
        return widgets.Checkbox(value=bool(value), indent=True, **shown)
    if not parameter.role:
        return widgets.Text(value=_text(value), placeholder="required" if parameter.required else "", **shown)
    folders_only = parameter.role.kind not in FILES
    entry = widgets.Combobox(value=_text(value), placeholder="required" if parameter.required else "", **shown)
    entry.options = beside(entry.value, folders_only=folders_only)
    entry.observe(lambda change: setattr(entry, "options", beside(change["new"], folders_only=folders_only)), names="value")
    return entry


def beside(typed: str, *, folders_only: bool) -> tuple[str, ...]:
    """Paths that what is typed so far could become: the open names in its folder, folders with a slash behind."""
    base = Path(typed).expanduser()
    folder = base if typed.endswith("/") else base.parent
    try:
        found = [(path, path.is_dir()) for path in folder.iterdir() if not path.name.startswith(".")]
        return tuple(sorted(f"{path}/" if is_dir else str(path) for path, is_dir in found if is_dir or not folders_only)[:SHOWN])
    except OSError:  # no such folder (yet), or not ours to read: nothing to offer
        return ()
