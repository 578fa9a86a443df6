"""Real files of several makers open with their axes, and say what is wrong with those that do not."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emkit.count import Thresholds, count_frames
from emkit.errors import DataError, PathError
from emkit.io.dense import open_dense

pytestmark = pytest.mark.filterwarnings("ignore")  # RosettaSciIO's own, about files of old programs


@pytest.mark.parametrize(
    ("name", "dims", "shape", "unit"),
    [
        ("08_carbon.dm3", ("x", "Energy loss"), (1, 2048), "eV"),
        ("EELS_SI.dm4", ("Energy loss", "y", "x"), (2048, 2, 2), "µm"),
        ("16_STOimage_1.ser", ("y", "x"), (1024, 1024), "nm"),
        ("16x16-diffraction_imagel_5x5x256x256_EDS.emi", ("y", "x", "Energy"), (5, 5, 4000), "eV"),
        ("Acquisition_18.emd", ("Y", "X"), (1024, 1024), "nm"),
        ("HAADFscan.mrc", ("y", "x"), (16, 16), "nm"),
        ("test_diffraction_pattern_tags_removed.dm3", ("y", "x"), (87, 87), "1/nm"),
    ],
)
def test_files_of_several_makers(data_dir: Path, name: str, dims: tuple[str, ...], shape: tuple[int, ...], unit: str) -> None:
    found = open_dense(data_dir / "em-formats" / name)[0]
    assert set(found.dims) == set(dims) and found.shape == shape
    assert found.coords[found.dims[-1]].attrs["units"] == unit
    assert np.isfinite(found.values).all() and found.values.any()


def test_what_the_microscope_was_set_to(data_dir: Path) -> None:
    told = open_dense(data_dir / "em-formats/EELS_SI.dm4")[0].attrs["instrument"]
    assert told["beam energy"] == "200 keV" and told["camera length"] == "550 mm" and told["acquisition mode"] == "STEM"
    assert open_dense(data_dir / "em-formats/fei_example_dpc_titles.emd")[0].attrs["instrument"]["microscope"] == "Titan"
    assert open_dense(data_dir / "em-formats/HAADFscan.mrc")[0].attrs["instrument"] == {}


def test_several_datasets_in_one_file(data_dir: Path) -> None:
    found = open_dense(data_dir / "em-formats/fei_example_dpc_titles.emd")
    assert {"iDPC", "DF4-A"} <= {data.name for data in found} and len(found) == 9


def test_a_merlin_scan_is_counted(data_dir: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(data_dir / "em-formats/Merlin_navigation4x2_ROI.zip").extractall(tmp_path)
    (found,) = open_dense(next(tmp_path.rglob("001_4x2_6bit.mib")))
    assert found.dims == ("sy", "sx", "ky", "kx") and found.shape == (2, 4, 256, 256)
    scan = count_frames(found.values, Thresholds(0.5, 60))
    assert scan.scan_shape == (2, 4) and (scan.sum("frame") <= (found.values > 0).sum((2, 3))).all()


def test_what_cannot_be_read(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"found \.jpg, needed one of \.dm3"):
        open_dense(tmp_path / "a.jpg")
    with pytest.raises(PathError, match="does not exist"):
        open_dense(tmp_path / "a.dm3")
    (tmp_path / "a.dm3").write_text("nothing")
    with pytest.raises(DataError, match="cannot be read as DM3"):
        open_dense(tmp_path / "a.dm3")
    shutil.copy(data_dir / "em-formats/EELS_SI.dm4", tmp_path / "b.dm4")
    with (tmp_path / "b.dm4").open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(DataError, match="cannot be read as DM4"):
        open_dense(tmp_path / "b.dm4")
