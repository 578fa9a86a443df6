"""Stacks that are not what they should be: each is aligned as far as it can be and named, or refused in one message."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import emkit
from emkit.align import AlignmentReport
from emkit.align.page import reimage_list
from emkit.errors import DataError, PathError
from emkit.transforms import Affine

NM = (45.0, 4.6, 4.6)
SIZE, COUNT, ODD = 256, 5, 2
Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "raw"
    emkit.make_phantom(out=folder, sections=COUNT, size_px=SIZE, seed=8, jitter=0.5)
    return folder


def with_one(phantom: Path, folder: Path, change: Callable[[Image], Image], **asked: int) -> AlignmentReport:
    """The stack aligned with section `ODD` changed."""
    shutil.copytree(phantom, folder / "raw")
    file = folder / f"raw/section_0{ODD}.tif"
    tifffile.imwrite(file, np.ascontiguousarray(change(tifffile.imread(file))))
    report: AlignmentReport = emkit.align_sections(folder / "raw", out=folder / "out.ome.zarr", voxel_size_nm=NM, **asked)
    return report


def mirrored(image: Image) -> Image:
    return image[:, ::-1]


def torn(image: Image) -> Image:
    damaged = image.copy()
    damaged[:, 120:140] = 250
    return damaged


def test_a_mirrored_section_is_named_with_what_turns_it(phantom: Path, tmp_path: Path) -> None:
    report = with_one(phantom, tmp_path, mirrored)
    assert report.mirrored == (ODD,) and not report.sections[ODD].linked
    assert "section 2 (section_02.tif) is mirrored: turned over it matches; ask for that by 2:flip" in str(report)
    assert "section_02.tif" not in reimage_list(report)


def test_a_good_section_beside_a_mirrored_one_after_a_torn_one_is_not_charged(phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom, tmp_path / "raw")
    for z, change in ((2, torn), (3, mirrored)):
        file = tmp_path / f"raw/section_0{z}.tif"
        tifffile.imwrite(file, np.ascontiguousarray(change(tifffile.imread(file))))
    report = emkit.align_sections(tmp_path / "raw", out=tmp_path / "out.ome.zarr", voxel_size_nm=NM)
    assert report.mirrored == (3,) and [one.defect for one in report.verdicts] == ["", "", "tear", "", ""]


def test_mirrored_sections_are_turned_over_with_leave(phantom: Path, tmp_path: Path) -> None:
    report = with_one(phantom, tmp_path, mirrored, flip_mirrored=True)
    assert (report.mirrored, report.flipped, report.flagged) == ((), (ODD,), ())
    assert all(section.linked for section in report.sections) and not any(one.defect for one in report.verdicts)
    assert np.linalg.det(Affine(report.sections[ODD].affine).linear) < 0 < np.linalg.det(Affine(report.sections[0].affine).linear)
    assert "section 2 (section_02.tif) was mirrored: it is turned over" in str(report)


def test_a_section_upside_down_is_turned(phantom: Path, tmp_path: Path) -> None:
    report = with_one(phantom, tmp_path, lambda image: image[::-1, ::-1])
    assert not report.flagged and report.mirrored == ()
    assert report.sections[ODD].affine[0][0] * report.sections[0].affine[0][0] < -0.8


@pytest.mark.parametrize("grey", [0, 255])
def test_a_blank_or_saturated_section_is_named_and_bridged(phantom: Path, tmp_path: Path, grey: int) -> None:
    report = with_one(phantom, tmp_path, lambda image: np.full_like(image, grey))
    assert {reason for pair in report.flagged for reason in pair.reasons} == {"section 2 is constant"}
    assert [one.defect for one in report.verdicts] == ["contrast" if z == ODD else "" for z in range(COUNT)]
    assert [section.linked for section in report.sections] == [z != ODD for z in range(COUNT)]


def test_a_half_missing_section_is_named_and_the_others_are_not_charged(phantom: Path, tmp_path: Path) -> None:
    report = with_one(phantom, tmp_path, lambda image: np.where(np.arange(SIZE) < SIZE // 2, 0, image).astype(np.uint8))
    assert [bool(one.defect) for one in report.verdicts] == [z == ODD for z in range(COUNT)]
    assert [section.linked for section in report.sections if section.z != ODD] == [True] * (COUNT - 1)


def test_a_shift_beyond_what_is_allowed_is_flagged_and_found_when_allowed(phantom: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    def far(image: Image) -> Image:
        moved = np.zeros_like(image)
        moved[100:] = image[:-100]
        return moved

    flagged = with_one(phantom, tmp_path / "one", far, max_shift_px=40)
    assert not flagged.sections[ODD].linked and any(ODD in (pair.fixed, pair.moving) for pair in flagged.flagged)
    found = with_one(phantom, tmp_path / "two", far, max_shift_px=150)
    assert found.sections[ODD].linked and 60 < found.sections[ODD].affine[0][2] - found.sections[0].affine[0][2] < 140


def test_unrelated_images_are_refused_with_their_scores(tmp_path: Path) -> None:
    (folder := tmp_path / "photos").mkdir()
    draw = np.random.default_rng(0)
    for z in range(3):
        tifffile.imwrite(folder / f"{z}.tif", draw.integers(1, 255, (SIZE, SIZE), np.uint8))
    with pytest.raises(DataError, match=r"photos are no stack: no two of them match\. The best: sections \d and \d: SNR \d\.\d\d"):
        emkit.align_sections(folder, out=tmp_path / "out.ome.zarr", voxel_size_nm=NM)
    assert not (tmp_path / "out.ome.zarr").exists()


def test_a_stack_of_two_is_one(phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom, tmp_path / "raw", ignore=lambda _, names: [name for name in names if name[8:10] in ("02", "03", "04")])
    report = emkit.align_sections(tmp_path / "raw", out=tmp_path / "out.ome.zarr", voxel_size_nm=NM)
    assert [section.linked for section in report.sections] == [True, True] and not report.flagged
    assert [one.defect for one in report.verdicts] == ["", ""]


def test_one_section_alone_has_no_pair(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    shutil.copy(phantom / "section_00.tif", tmp_path / "raw")
    report = emkit.align_sections(tmp_path / "raw", out=tmp_path / "out.ome.zarr", voxel_size_nm=NM)
    assert str(report) == "One section is in use: there is no pair to match"


def test_sections_of_two_sizes_are_refused_with_their_names(phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"different sizes \(y, x\): .*such as section_00\.tif.*such as section_02\.tif"):
        with_one(phantom, tmp_path, lambda image: image[:200])
