"""The form of a step says what is wrong where it is wrong, runs in a thread, and can be cancelled."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge
from emkit_widgets.form import StepForm
from ipywidgets import HTML

from emkit.errors import DataError, ParameterError
from emkit.params import Positive, Reads, Unit, Writes
from emkit.progress import Cancelled, listening
from emkit.run.plan import Plan
from emkit.run.stage import stage
from emkit.run.step import Body, step

FOR_EVER_S = 600


@dataclass(frozen=True)
class Report:
    rows: list[int]
    mean_nm: float


@step
def write_rows(
    source: Annotated[Path, Reads("folder")],
    *,
    out: Annotated[Path, Writes("folder")],
    voxel_size_nm: Annotated[tuple[Positive, Positive, Positive], Unit("nm")],
    rows: Annotated[int, Unit("px"), Ge(1)] = 3,
    exclude: tuple[int, ...] = (),
    manner: Literal["plain", "wait", "fail", "break"] = "plain",
    keep: bool = False,
) -> Body[Report]:
    """Write rows.

    Parameters
    ----------
    source
        What is <read>.
    out
        What is written.
    rows
        How many.
    """
    yield Plan(memory_bytes=12_000_000, disk_bytes=3000, seconds=200)
    found = yield from stage("write", write_row, {str(row): (row, out, manner) for row in range(rows)}, "rows")
    return Report([*found.values()], voxel_size_nm[0])


def write_row(row: int, out: Path, manner: str) -> int:
    if manner == "fail":
        raise DataError(f"row {row} holds NaN")
    if manner == "break":
        raise RuntimeError("a <bug>")
    if manner == "wait":
        (out.parent / "begun").touch()
        time.sleep(FOR_EVER_S)
    out.mkdir(exist_ok=True)
    (out / str(row)).write_text(str(row))
    return row


@pytest.fixture
def form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StepForm]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    form = StepForm(write_rows, source="my data", out="out", voxel_size_nm=(45, 4.6, 4.6))
    yield form
    form.close()


def notes(form: StepForm) -> dict[str, str]:
    """What is said in the colour of an error, field by field."""
    return {name: field.note.value for name, field in form.fields.items() if "emkit-wrong" in field.note._dom_classes}


def type_in(form: StepForm, **typed: str) -> None:
    for name, text in typed.items():
        form.fields[name].entry.value = text


def test_fields_come_from_the_signature(form: StepForm) -> None:
    assert [field.entry.description for field in form.fields.values()][:3] == ["Source", "Output", "Voxel size"]
    rows = form.fields["rows"]
    assert rows.entry.value == "3" and rows.note.value == "How many. [≥ 1]"  # the unit stands behind the field
    assert "How many. [px, ≥ 1]" in rows.entry.tooltip and "--rows as a command" in rows.entry.tooltip
    assert form.fields["source"].note.value == "What is &lt;read&gt;."
    assert [name for name, _ in form.fields["manner"].entry.options] == ["plain", "wait", "fail", "break"]
    assert form.fields["keep"].entry.value is False
    assert [field.parameter.name for field in form.more.children[0].children] == ["rows", "exclude", "manner", "keep"]


def test_an_empty_form_names_what_is_needed_without_alarm() -> None:
    form = StepForm(write_rows)
    assert form.run.disabled and notes(form) == {} and "Still needed: Source, Output, Voxel size." in form.message.value


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"rows": "2.5"}, {"rows": "found &#x27;2.5&#x27;, needed a valid integer"}),
        ({"rows": "0"}, {"rows": "needed greater than or equal to 1 (px)"}),
        ({"voxel_size_nm": "45 -1 4"}, {"voxel_size_nm": "voxel_size_nm[1]: found &#x27;-1&#x27;"}),
        ({"voxel_size_nm": "45 4.6"}, {"voxel_size_nm": ""}),
        ({"exclude": "1 x", "rows": "many"}, {"exclude": "exclude[1]: found &#x27;x&#x27;", "rows": "found &#x27;many&#x27;"}),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(form: StepForm, typed: dict[str, str], said: dict[str, str]) -> None:
    type_in(form, **typed)
    found = notes(form)
    assert found.keys() == said.keys() and form.run.disabled and form.start() is None
    for name, words in said.items():
        assert words in found[name]


def test_a_mended_field_lets_it_run(form: StepForm) -> None:
    type_in(form, rows="x")
    assert form.run.disabled and form.more.selected_index == 0
    type_in(form, rows="2", exclude="1, 2")
    assert not form.run.disabled and notes(form) == {}
    assert form.call().values["exclude"] == (1, 2)


def test_paths_are_checked_when_run_is_pressed(form: StepForm, tmp_path: Path) -> None:
    type_in(form, source="nowhere")
    assert notes(form) == {}
    form.run.click()
    assert "does not exist" in notes(form)["source"] and not form.running
    type_in(form, source="my data", out="no/out")
    form.plan.click()
    assert "make it first" in notes(form)["out"]


def test_paths_complete(form: StepForm, tmp_path: Path) -> None:
    (tmp_path / "my data/inner").mkdir()
    (tmp_path / "my data/file.txt").touch()
    type_in(form, source="my")
    assert form.fields["source"].entry.options == ("my data/",)
    type_in(form, source="my data/")
    assert form.fields["source"].entry.options == ("my data/inner/",)
    type_in(form, source="nowhere/deep")
    assert form.fields["source"].entry.options == ()
    type_in(form, source="~/x")
    assert form.call().values["source"] == Path.home() / "x"


def test_plan_tells_numbers_and_writes_nothing(form: StepForm, tmp_path: Path) -> None:
    form.plan.click()
    for number in ("12.0 MB", "0.0 MB", "3 min 20 s"):
        assert number in form.message.value
    assert not (tmp_path / "out").exists()


def test_run_works_tells_and_shows(form: StepForm, tmp_path: Path) -> None:
    place = form.then(lambda run: HTML(f"{run['out']} {run['rows']}"))
    assert "Shown when the step has run" in place.children[0].value
    assert (ended := form.start()) is not None
    ended.result(30)
    assert form.result == Report([0, 1, 2], 45.0) and "<td>out</td>" in form.message.value and "Mean nm" in form.message.value
    assert place.children[0].value == "out 3" and not form.run.disabled and form.cancel.disabled
    assert form.then(lambda run: HTML(str(run["rows"]))).children[0].value == "3"
    assert form.start() is None and "exists" in notes(form)["out"]
    form.overwrite.value, place.children = True, []
    assert (ended := form.start()) is not None
    ended.result(30)
    assert len(place.children) == 1


def test_run_now_waits_and_raises(form: StepForm) -> None:
    assert form.run_now() == Report([0, 1, 2], 45.0)
    with pytest.raises(Exception, match="out exists"):
        form.run_now()
    assert not form.run.disabled


def test_cancel_ends_the_run(form: StepForm, tmp_path: Path) -> None:
    type_in(form, manner="wait", rows="2000")
    assert (ended := form.start()) is not None
    last = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < last
        time.sleep(0.01)
    assert form.run.disabled and form.start() is None
    form.cancel.click()
    ended.result(30)
    assert "Cancelled" in form.message.value and not (tmp_path / "out").exists()
    assert not form.run.disabled and form.cancel.disabled and form.cancel.description == "Cancel"


@pytest.mark.parametrize(("manner", "said"), [("fail", "holds NaN"), ("break", "RuntimeError: a &lt;bug&gt;")])
def test_what_goes_wrong_within_is_told(form: StepForm, manner: str, said: str) -> None:
    type_in(form, manner=manner)
    assert (ended := form.start()) is not None
    ended.result(30)
    assert said in form.message.value and not form.run.disabled and form.result is None


def test_a_view_that_is_refused_says_so_in_its_place(form: StepForm) -> None:
    def refuse(run: object) -> None:
        raise DataError("no <report>")

    place = form.then(refuse)
    form.run_now()
    assert "no &lt;report&gt;" in place.children[0].value


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ParameterError, match="sorce: write_rows has no such parameter. Did you mean source"):
        StepForm(write_rows, sorce="x")


def test_fields_follow_those_of_another_form(form: StepForm, tmp_path: Path) -> None:
    after = StepForm(write_rows, out=tmp_path / "after").take(form, source="out", voxel_size_nm="voxel_size_nm")
    assert after.call().values["source"] == form.call().values["out"]
    form.fields["out"].entry.value, form.fields["voxel_size_nm"].entry.value = "elsewhere", "50 4 4"
    assert after.call().values["source"] == Path("elsewhere") and after.call().values["voxel_size_nm"] == (50, 4, 4)


def test_cancelled_is_told_to_who_waits(form: StepForm) -> None:
    with listening(stop=lambda: True), pytest.raises(Cancelled):
        form.run_now()
    assert "goes on from there" in form.message.value and not form.running
