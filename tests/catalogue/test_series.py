"""A series of scans of one place: the drift and the dose that were planted are found."""

import csv
from math import prod
from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.errors import ParameterError
from emkit.io.counted import write_counted
from emkit.phantoms import ScanPhantom
from emkit.steps.measuring_series import SeriesReport

SHAPE, FRAME = (16, 16), (64, 64)
Measured = tuple[Path, SeriesReport, list[tuple[float, float]], list[float]]


def series(folder: Path, drifts: list[tuple[float, float]], occupancies: list[float]) -> list[Path]:
    made = []
    for k, (drift, occupancy) in enumerate(zip(drifts, occupancies, strict=True)):
        made.append(folder / f"scan_{k:02}")
        write_counted(ScanPhantom(SHAPE, FRAME, 1, occupancy, drift=drift, exposure=k).counted(), made[-1])
    return made


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Twelve scans, five minutes apart: the specimen runs away, the beam fades."""
    folder = tmp_path_factory.mktemp("series")
    drifts = [(0.35 * k, -0.2 * k) for k in range(12)]
    occupancies = [0.05 * 0.97**k for k in range(12)]
    scans = series(folder, drifts, occupancies)
    out = folder / "measured"
    return out, emkit.measure_series(tuple(scans), out=out, at_s=tuple(300.0 * k for k in range(12))), drifts, occupancies


def test_the_drift_that_was_planted_is_found(
    measured: Measured,
) -> None:
    _, report, drifts, _ = measured
    found = np.array([one.drift for one in report.scans])
    assert np.abs(found - drifts).max() < 0.5
    assert np.sqrt(np.mean((found - drifts) ** 2)) < 0.2


def test_the_dose_that_was_planted_is_found(measured: Measured) -> None:
    _, report, _, occupancies = measured
    planted = [occupancy * prod(FRAME) for occupancy in occupancies]
    for one, electrons in zip(report.scans, planted, strict=True):
        assert one.per_frame == one.per_position == pytest.approx(electrons, rel=0.02)
    assert report.scans[-1].accumulated == pytest.approx(sum(one.per_position for one in report.scans))


def test_the_table_and_the_plot_say_so(measured: Measured) -> None:
    out, report, _, _ = measured
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["time_min"] for row in rows[:3]] == ["0", "5", "10"] and rows[0]["snr"] == "" and rows[3]["scan"] == "scan_03"
    assert (out / "table.md").read_text() == f"{report}\n"
    plot = (out / "plot.svg").read_text()
    assert "Accumulated dose" in plot and "time (min)" in plot and plot.count("<polyline") == 4
    assert len(list((out / "images").glob("*.tif"))) == 12


def test_scans_of_several_shapes_are_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (8, 8)), ("b", (8, 9))):
        write_counted(ScanPhantom(shape, FRAME, occupancy=0.001).counted(), tmp_path / name)
    with pytest.raises(ParameterError, match=r"\(8, 8\) x \(64, 64\) in .*a and \(8, 9\) x \(64, 64\) in .*b"):
        emkit.measure_series((tmp_path / "a", tmp_path / "b"), out=tmp_path / "out")
    with pytest.raises(ParameterError, match="found 1 scans and 0 times"):
        emkit.measure_series((tmp_path / "a",), out=tmp_path / "out")
