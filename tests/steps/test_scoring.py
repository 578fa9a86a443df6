"""The true error of an alignment: nothing where it is the truth, and exactly what was planted where it is not."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from emkit import align_sections, make_phantom, measure_error
from emkit.errors import PathError
from emkit.transforms import Affine

SIZE_NM = (45.0, 4.6, 4.6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("scored")
    make_phantom(out=home / "raw", sections=4, size_px=128, bad=(2,))
    align_sections(home / "raw", out=home / "aligned", voxel_size_nm=SIZE_NM)
    return home


def plant(made: Path, *shifts: float) -> None:
    """Places that are the truth, but for a common map and a shift in y of each section."""
    told = [np.array(one["affine"]) for one in json.loads((made / "raw/truth.json").read_text())["sections"]]
    truth = [Affine.of(rows[:, :2], rows[:, 2]) for rows in told]
    common = Affine.rotation(3.0, (60, 60))
    report = json.loads((made / "aligned/alignment.json").read_text())
    for section, true, shift in zip(report["sections"], truth, shifts, strict=True):
        section["affine"] = true.compose(Affine.translation(shift, 0)).compose(common).rows
    (made / "aligned/alignment.json").write_text(json.dumps(report))


def test_planted_errors_are_told(made: Path) -> None:
    plant(made, 0, 0, 0, 0)
    assert all(one.error_px < 1e-6 and one.drift_px < 1e-6 for one in measure_error(made / "aligned", made / "raw"))
    plant(made, 0, 1.5, 40, 4.0)
    first, second = measure_error(made / "aligned", made / "raw", out=made / "e.csv")
    assert (first.z, second.z) == (1, 3)  # the one that shows another place has no truth
    assert (first.error_px, first.drift_px) == (pytest.approx(1.5), pytest.approx(1.5))
    assert (second.error_px, second.drift_px) == (pytest.approx(2.5), pytest.approx(4.0)) and "off by 2.50 px" in str(second)
    with (made / "e.csv").open() as file:
        assert [float(row["drift_px"]) for row in csv.DictReader(file)] == [first.drift_px, second.drift_px]


def test_without_truth_there_is_no_error(made: Path, tmp_path: Path) -> None:
    make_phantom(out=tmp_path / "other", sections=1, size_px=64)
    (tmp_path / "other/truth.json").rename(tmp_path / "truth.json")
    with pytest.raises(PathError, match="holds no truth.json"):
        measure_error(made / "aligned", tmp_path / "other")
    told = (tmp_path / "truth.json").read_text().replace("section_00", "another")
    (tmp_path / "other/truth.json").write_text(told)
    with pytest.raises(PathError, match="none of the sections"):
        measure_error(made / "aligned", tmp_path / "other")
