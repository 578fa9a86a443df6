"""measure_alignment: what it says of a volume, and its table."""

import csv
from pathlib import Path

import numpy as np
import pytest

import emkit
from emkit.align import measure_pairs
from emkit.errors import ParameterError
from emkit.io.omezarr import create_volume, shard_grid, write_block
from emkit.phantoms import SectionPhantom
from emkit.steps.measuring import COLUMNS

SHAPE = (5, 192, 192)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("volume") / "still.ome.zarr"
    phantom = SectionPhantom(SHAPE[1:], SHAPE[0], seed=2, jitter=0, bad=(4,))
    voxels = np.stack([phantom.render_section(z) for z in range(SHAPE[0])])
    create_volume(path, shape=SHAPE, dtype="uint8", voxel_size_nm=(45, 4.6, 4.6))
    (block,) = shard_grid(path)
    write_block(path, block, voxels)
    return path


def test_the_step_says_what_the_library_says(volume: Path) -> None:
    assert emkit.measure_alignment(volume) == measure_pairs(emkit.open_volume(volume))


def test_a_stranger_is_flagged_and_the_rest_is_still(volume: Path) -> None:
    pairs = emkit.measure_alignment(volume)
    assert [pair.flagged for pair in pairs] == [False, False, False, True]
    assert all(pair.displacement_px is not None and pair.displacement_px < 2.5 for pair in pairs[:3])


def test_the_table_holds_a_row_a_pair(volume: Path, tmp_path: Path) -> None:
    pairs = emkit.measure_alignment(volume, out=tmp_path / "quality.csv")
    with (tmp_path / "quality.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(int(row["fixed"]), float(row["snr"]), row["flagged"] == "True") for row in rows] == [
        (pair.fixed, pair.snr, pair.flagged) for pair in pairs
    ]
    assert "SNR" in rows[3]["reasons"]


def test_a_coarser_level_can_be_measured(volume: Path) -> None:
    pairs = emkit.measure_alignment(volume, level=1)
    assert len(pairs) == 4
    with pytest.raises(ParameterError, match="has levels 0 to"):
        emkit.measure_alignment(volume, level=9)


def test_a_threshold_of_ones_own_decides(volume: Path) -> None:
    assert all(pair.flagged for pair in emkit.measure_alignment(volume, snr_threshold=99))
