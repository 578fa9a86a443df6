"""The panel of scans and the command: what a person sees and does, on real files and runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from emkit_widgets.attach import DASHBOARD_VARIABLE
from emkit_widgets.scans import ScansPanel

import emkit
from emkit.cli import main
from tests.catalogue.conftest import until
from tests.catalogue.scans import counted, raw

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def press(panel: ScansPanel, **message: Any) -> None:
    """As the page does it."""
    panel._handle_custom_msg(message, [])


def row(panel: ScansPanel, name: str) -> dict[str, Any]:
    return next(row for row in panel.rows if row["name"] == name)


def looked(panel: ScansPanel) -> ScansPanel:
    """After the page has asked for news."""
    press(panel)
    return panel


def test_rows_pictures_notes_and_search(data: Path) -> None:
    raw(data / "a")
    counted(data / "b")
    panel = ScansPanel(data)
    assert (
        row(panel, "a")["state"] == "raw" and row(panel, "b")["shape"] == "8 × 8 × 64 × 64" and row(panel, "a")["raw"] == "2.7 MB"
    )
    assert set(panel.pictures) == {"a", "b"} and panel.pictures["b"].startswith("data:image/png;base64,")
    press(panel, note=["b", "thick", ""])
    assert row(panel, "b")["notes"] == "thick" and 'notes = "thick"' in (data / "b.scan.toml").read_text()
    press(panel, note=["b", "thin", ""])
    assert "were changed meanwhile" in panel.refused and row(panel, "b")["notes"] == "thick"
    panel.search = "thick"
    assert [row["name"] for row in panel.rows] == ["b"]


def test_count_then_delete_after_the_question(data: Path) -> None:
    raw(data / "a")
    panel = ScansPanel(data)
    press(panel, ask=["a"])
    assert panel.question["type"] and "type the name: a" in panel.question["text"]
    press(panel, keep=[])
    assert panel.question == {}
    press(panel, count=[["a"]])
    assert "Counting 1 scan: emkit watch" in panel.told and row(panel, "a")["state"] in ("counting", "done")
    until(lambda: row(looked(panel), "a")["state"] == "done", "it is counted")
    press(panel, ask=["a"])
    assert not panel.question["type"] and "checked file by file" in panel.question["text"]
    press(panel, delete=["a", ""])
    assert "Deleted: 4 raw files of a" in panel.told and row(panel, "a")["gone"] and not (data / "a").exists()


def test_a_series_shows_its_table_and_plot(data: Path) -> None:
    counted(data / "a")
    counted(data / "b")
    panel = ScansPanel(data)
    press(panel, measure=[["a", "b"]])
    until(lambda: looked(panel).series, "it is measured")
    assert panel.series["table"][0][0] == "scan" and len(panel.series["table"]) == 3 and "<svg" in panel.series["plot"]


def test_its_notebook_opens_by_what_there_is_of_the_scan(data: Path) -> None:
    raw(data / "a")
    counted(data / "b")
    panel = ScansPanel(data, templates=(NOTEBOOKS / "count_a_scan.ipynb", NOTEBOOKS / "see_a_scan.ipynb"), notebooks="mine")
    press(panel, open=["a"])
    assert panel.notebook == {"name": "a", "path": "mine/a.ipynb"} and f"{data}/a'" in Path("mine/a.ipynb").read_text()
    press(panel, open=["b"])
    assert "# See a scan" in Path("mine/b.ipynb").read_text() and f"scan = '{data}/b'" in Path("mine/b.ipynb").read_text()
    other = ScansPanel(data, notebooks="other")
    press(other, open=["a"])
    assert "count_a_scan.ipynb does not exist" in other.refused


def test_visitors_of_a_dashboard_change_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw(data / "a")
    monkeypatch.setenv(DASHBOARD_VARIABLE, "kernel")
    panel = ScansPanel(data)
    assert not panel.may_write
    panel.may_write = True  # the page may say what it likes
    for message in ({"note": ["a", "x"]}, {"delete": ["a", "a"]}, {"count": [["a"]]}, {"open": ["a"]}, {"ask": ["a"]}):
        press(panel, **message)
        assert "look on; nothing was changed" in panel.refused
    assert (data / "a/data_module0.data").exists() and [path.name for path in data.iterdir()] == ["a"]


# ---- the command ----


def test_the_command_lists_searches_and_notes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(data / "a")
    counted(data / "b.h5")
    assert main(["scans", str(data), "--note", "a", "thick area"]) == 0
    assert main(["scans", str(data), "--search", "thick"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, state, _, shape, sizes, notes = line.split("\t")
    assert (name, state, shape, sizes, notes) == ("a", "raw", "2x2x576x576", "2.7 MB -> -", "thick area")
    assert main(["scans", str(data), "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == {"a", "b.h5"}
    assert main(["scans", str(data), "--note", "c", "x"]) == 3
    assert "c: none of the 2 scans in" in capsys.readouterr().err


def test_the_command_asks_before_it_deletes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emkit.count_scan(raw(data / "a"), out=data / "a-counted")
    assert main(["scans", str(data), "--delete-raw", "a"]) == 3
    assert "Delete the 4 raw files of a" in (said := capsys.readouterr().out) and "--typed a" in said
    assert main(["scans", str(data), "--delete-raw", "a", "--typed", "b"]) == 3
    assert (data / "a").exists()
    assert main(["scans", str(data), "--delete-raw", "a", "--typed", "a"]) == 0
    assert not (data / "a").exists()
