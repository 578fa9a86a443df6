"""Which sections labels belong to: by place, by name, by number, by order; and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from emkit.blocks import Block
from emkit.errors import PathError
from emkit.io.omezarr import create_volume
from emkit.io.pairing import Pairing, pair_labels
from emkit.io.voxels import open_voxels
from emkit.model import Shape, SizeNm

NM = (40.0, 4.0, 4.0)
SIDE = 16


def folder(path: Path, *stems: str) -> Path:
    path.mkdir()
    for stem in stems:
        tifffile.imwrite(path / f"{stem}.tif", np.zeros((SIDE, SIDE), np.uint8))
    return path


def volume(path: Path, shape: Shape, origin_nm: SizeNm = (0.0, 0.0, 0.0), size_nm: SizeNm = NM) -> Path:
    create_volume(path, shape=shape, dtype="uint8", voxel_size_nm=size_nm, origin_nm=origin_nm, chunk_px=16, shard_px=16)
    return path


def paired(images: Path, labels: Path) -> Pairing:
    return pair_labels(open_voxels(images), open_voxels(labels))


@pytest.mark.parametrize(
    ("images", "labels", "sections"),
    [
        (("a", "b", "c", "d"), ("b", "d"), (1, 3)),  # equal names
        (("raw_007", "raw_008", "raw_009"), ("labels_008", "labels_009"), (1, 2)),  # numbers
        (("raw_007", "raw_008", "raw_009"), ("labels_0", "labels_1"), (0, 1)),  # counted on their own: in order
        (("raw_007", "raw_008", "raw_009"), ("labels_1", "labels_2"), (0, 1)),
        (("a", "b", "c"), ("x", "y"), (0, 1)),  # no numbers: in order
    ],
)
def test_folders(images: tuple[str, ...], labels: tuple[str, ...], sections: tuple[int, ...], tmp_path: Path) -> None:
    assert paired(folder(tmp_path / "images", *images), folder(tmp_path / "labels", *labels)) == Pairing(sections)


def test_a_file_of_sections_is_in_order(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((2, SIDE, SIDE), np.uint8), photometric="minisblack")
    assert paired(folder(tmp_path / "images", "7", "8", "9"), tmp_path / "labels.tif").sections == (0, 1)


def test_volumes_by_where_they_lie(tmp_path: Path) -> None:
    images = volume(tmp_path / "images", (8, 32, 32), (80.0, 0.0, 0.0))
    found = paired(images, volume(tmp_path / "labels", (3, 16, 8), (160.0, 40.0, 60.0)))
    assert found == Pairing((2, 3, 4), (10, 15)) and found.window(1, (16, 8)) == Block((3, 4), (10, 26), (15, 23))


@pytest.mark.parametrize(
    ("shape", "origin_nm", "size_nm", "words"),
    [
        ((3, 16, 8), (400.0, 0.0, 0.0), NM, "no overlap: .* z 10:13 of 8, y 0:16 of 32, x 0:8 of 32"),
        ((3, 16, 8), (0.0, -8.0, 0.0), NM, "they reach beyond the image: .* y -2:14 of 32"),
        ((3, 16, 8), (0.0, 0.0, 0.0), (40.0, 8.0, 8.0), r"voxels of \(40.0, 8.0, 8.0\) nm, those of the images are \(40.0, 4.0"),
    ],
)
def test_volumes_that_lie_elsewhere(shape: Shape, origin_nm: SizeNm, size_nm: SizeNm, words: str, tmp_path: Path) -> None:
    with pytest.raises(PathError, match=words):
        paired(volume(tmp_path / "images", (8, 32, 32)), volume(tmp_path / "labels", shape, origin_nm, size_nm))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("labels_20", "labels_21"), "no overlap: images are numbered 7–9, labels 20–21"),
        (("labels_9", "labels_10"), "no image for labels 10: images are numbered 7–9, labels 9–10"),
        (("w", "x", "y", "z"), "4 sections, but the images have 3; needed: no more labels than images"),
    ],
)
def test_folders_that_do_not_belong_together(labels: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(PathError, match=words):
        paired(folder(tmp_path / "images", "7", "8", "9"), folder(tmp_path / "labels", *labels))


def test_sections_of_other_sizes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((8, SIDE), np.uint8))
    with pytest.raises(PathError, match=r"sections of \(8, 16\) px \(y, x\), those of the images have \(16, 16\) px"):
        paired(folder(tmp_path / "images", "7"), tmp_path / "labels.tif")
