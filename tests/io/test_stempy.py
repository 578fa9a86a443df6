"""stempy, as it is installed: it reads what we write, we read what it writes, and ties="drop" is its rule, event for event."""

import warnings
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from emkit.count import CountedScan, Thresholds, correct_rows, count_frames, estimate_thresholds
from emkit.io.counted import read_counted, write_counted
from emkit.phantoms import ScanPhantom

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from stempy import _image
    from stempy.image import electron_count
    from stempy.io import PyReader, load_electron_counts, save_electron_counts

FRAMES = np.stack([ScanPhantom((2, 3), beam=0.5).frame(k)[0] for k in range(6)])


def stempy_events(
    frames: NDArray[Any], dark: NDArray[np.float32], thresholds: Thresholds, level: float = 0.0, by: str = ""
) -> list[list[int]]:
    reader = PyReader(frames, np.arange(len(frames)), (len(frames), 1), len(frames), len(frames))
    options = _image.ElectronCountOptionsClassic()
    options.dark_reference, options.scan_dimensions = dark, (len(frames), 1)
    options.background_threshold, options.x_ray_threshold = thresholds.background, thresholds.xray
    options.apply_row_dark_subtraction, options.optimized_mean, options.apply_row_dark_use_mean = bool(by), level, by == "mean"
    counted = _image.electron_count(reader.begin(), reader.end(), options)
    return [np.array(frame[0]).tolist() for frame in counted.data]


@pytest.mark.parametrize("with_dark", [False, True])
@pytest.mark.parametrize("thresholds", [Thresholds(28.3, 2000), Thresholds(22.9, 60.5)])
def test_the_same_events(with_dark: bool, thresholds: Thresholds) -> None:
    dark = np.full((576, 576), 3 if with_dark else 0, np.uint16)
    scan = count_frames(FRAMES, thresholds, dark if with_dark else None, ties="drop")
    ours = [scan.indices[a:b].tolist() for a, b in zip(scan.offsets[:-1], scan.offsets[1:], strict=True)]
    assert ours == stempy_events(FRAMES, dark.astype(np.float32), thresholds)


def layout(file: h5py.File) -> dict[str, Any]:
    """What a file holds, but for the numbers of events."""
    found: dict[str, Any] = {"": {name: file.attrs[name] for name in file.attrs}}
    file.visititems(lambda name, at: found.update({name: {key: (at.attrs[key], at.attrs[key].dtype) for key in at.attrs}}))
    return found


def test_metadata_are_stempys(tmp_path: Path) -> None:
    frames = PyReader(FRAMES, np.arange(6), (6, 1), 6, 6)
    with pytest.warns(DeprecationWarning, match="SectorThreadedReader"):  # which ends with a segmentation fault here
        theirs = electron_count(frames, np.zeros((576, 576), np.float32), scan_dimensions=(6, 1), number_of_samples=6)
    theirs.write_to_hdf5(tmp_path / "theirs.h5")
    thresholds = estimate_thresholds(FRAMES, samples=6, background_sigmas=4.0, xray_sigmas=10.0)
    write_counted(count_frames(FRAMES, thresholds), tmp_path / "ours.h5")
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "theirs.h5") as other:
        found, wanted = (dict(file["metadata/electron_counting"].attrs) for file in (ours, other))
    assert len(found) == 14 and {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in wanted.items()}
    assert load_electron_counts(tmp_path / "ours.h5").metadata == {"electron_counting": found}
    assert found["optimized_mean"] == pytest.approx(19.8, abs=0.1) and found["x_ray_threshold"] == thresholds.xray
    told = read_counted(tmp_path / "ours.h5").thresholds
    assert told and (told.background, told.sample) == (thresholds.background, thresholds.sample)
    assert read_counted(tmp_path / "theirs.h5").thresholds is None  # of this reader stempy tells zeros


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("level", [19.8123, 40.0])
def test_rows_are_corrected_as_stempy_does(by: Literal["mean", "median"], level: float) -> None:
    drift = 1 + 0.05 * np.random.default_rng(0).standard_normal((6, 576, 1))
    frames = np.clip(FRAMES * drift, 0, 65535).astype(np.uint16)
    frames[0, 3] = 0  # nothing to scale
    scan = count_frames(correct_rows(frames, level, by), Thresholds(22.3, 2000), ties="drop")
    ours = [scan.indices[a:b].tolist() for a, b in zip(scan.offsets[:-1], scan.offsets[1:], strict=True)]
    assert ours == stempy_events(frames, np.zeros((576, 576), np.float32), Thresholds(22.3, 2000), level, by)


@pytest.mark.parametrize("each", [1, 2])
def test_files_both_ways(tmp_path: Path, each: int) -> None:
    scan = count_frames(FRAMES, Thresholds(28.3, 2000), scan_shape=(2, 3 // each) if each == 1 else (1, 3))
    assert isinstance(scan, CountedScan) and len(scan) == 6
    write_counted(scan, tmp_path / "ours.h5")
    theirs = load_electron_counts(tmp_path / "ours.h5")
    assert theirs.scan_shape == scan.scan_shape and theirs.frame_shape == scan.frame_shape
    rows = [np.asarray(row).tolist() for row in theirs.data.ravel()]
    assert rows == [scan.indices[a:b].tolist() for a, b in zip(scan.offsets[:-1], scan.offsets[1:], strict=True)]
    save_electron_counts(tmp_path / "theirs.h5", theirs)
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "theirs.h5") as copied:
        assert layout(ours) == layout(copied)  # down to the types of the attributes
    back = read_counted(tmp_path / "theirs.h5")
    assert (back.indices == scan.indices).all() and (back.positions == scan.positions).all() and back.shape == scan.shape
