"""Folders of sections: natural order and numbers, whole round trips, and one clear message for every bad input."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emkit.errors import DataError, PathError
from emkit.io.sections import open_stack, ranges, read_section, section_numbers, write_section

VOXEL_NM = (45.0, 4.6, 4.6)


def ramp(z: int, dtype: str = "uint8") -> Any:
    return (np.arange(50 * 60).reshape(50, 60) % 251 + z).astype(dtype)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """Five good sections, 00.tif to 04.tif."""
    for z in range(5):
        tifffile.imwrite(tmp_path / f"{z:02}.tif", ramp(z))
    return tmp_path


# ---------------------------------------------------------------------------------------- order and numbers


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["s2.tif", "s10.tif", "s100.TIF"], [2, 10, 100]),
        (["iso.2600.png", "iso.2601.png"], [2600, 2601]),
        (["run3_s09.tiff", "run3_s10.tiff"], [9, 10]),
        (["s1_20200102.tif", "s2_20200301.tif"], [1, 2]),
        (["w1_s1.tif", "w1_s2.tif", "w2_s1.tif"], [None, None, None]),
        (["20200102.tif", "20210301.tif"], [20200102, 20210301]),
        (["only7.tif"], [7]),
        (["a.tif", "b.tif"], [None, None]),
    ],
)
def test_names_tell_the_order_and_the_number(tmp_path: Path, names: Any, numbers: Any) -> None:
    for name in reversed(names):
        write = imagecodecs.imwrite if name.endswith("png") else tifffile.imwrite
        write(tmp_path / name, ramp(0))
    stack = open_stack(tmp_path, allow_gaps=True)
    assert [section.path.name for section in stack.files] == names
    assert [section.number for section in stack.files] == numbers


def test_numbers_that_are_times_count_nothing() -> None:
    assert section_numbers(["20200102093011", "20210301120000"]) == [None, None]


@given(st.sets(st.integers(0, 400), min_size=1))
def test_gaps_are_the_numbers_that_are_missing(numbers: Any) -> None:
    assert section_numbers([f"s{n:04}" for n in sorted(numbers)]) == sorted(numbers)
    words = ranges(sorted(numbers))
    runs = len([n for n in numbers if n - 1 not in numbers])
    assert words.count(",") == min(runs, 8) - 1
    assert words.endswith("more") == (runs > 8)


def test_other_files_are_passed_over(folder: Path) -> None:
    for name in ("notes.txt", "._00.tif", ".DS_Store", "Thumbs.db"):
        (folder / name).write_text("not an image")
    (folder / "tiles").mkdir()
    assert len(open_stack(folder).files) == 5


# ---------------------------------------------------------------------------------------- round trips


@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", ">u2", "i2", "u4", "f4"]),
        st.tuples(*[st.integers(1, 40)] * 2),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_any_section_comes_back(tmp_path_factory: pytest.TempPathFactory, pixels: Any) -> None:
    folder = tmp_path_factory.mktemp("sections")
    write_section(folder / "0.tif", pixels, VOXEL_NM)
    stack = open_stack(folder)
    assert (stack.shape, np.dtype(stack.dtype)) == (pixels.shape, pixels.dtype.newbyteorder("="))
    np.testing.assert_array_equal(read_section(stack, 0), pixels)


def test_a_section_keeps_its_pixel_size_and_nothing_of_the_moment(tmp_path: Path) -> None:
    for name in ("0.tif", "1.tif"):
        write_section(tmp_path / name, ramp(0), VOXEL_NM)
    assert (tmp_path / "0.tif").read_bytes() == (tmp_path / "1.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        assert tiff.pages.first.get_resolution("micrometer") == pytest.approx((1000 / 4.6, 1000 / 4.6))


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
def test_compressed_and_tiled_tiff_are_read(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(
        tmp_path / "0.tif", ramp(0, "uint16"), compression=compression, tile=(16, 32), predictor=compression is not None
    )
    np.testing.assert_array_equal(read_section(open_stack(tmp_path), 0), ramp(0, "uint16"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_is_read(tmp_path: Path, dtype: str) -> None:
    imagecodecs.imwrite(tmp_path / "0.png", ramp(0, dtype))
    stack = open_stack(tmp_path)
    assert (stack.dtype, stack.shape) == (dtype, (50, 60))
    np.testing.assert_array_equal(read_section(stack, 0), ramp(0, dtype))


@pytest.mark.parametrize("name", ["with space", "-x", "näher 小脳", "100% #1?", "a'b\"c"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / name).mkdir()
    write_section(folder / "-1 ö.tif", ramp(1), VOXEL_NM)
    np.testing.assert_array_equal(read_section(open_stack(folder), 0), ramp(1))


def test_the_real_sections_are_read(data_dir: Path) -> None:
    stack = open_stack(data_dir / "vnc/stack1/raw")
    assert (len(stack.files), stack.shape, stack.dtype, stack.gaps) == (20, (1024, 1024), "uint8", ())
    assert read_section(stack, 7).std() > 10
    masks = open_stack(data_dir / "vnc/stack1/membranes")  # PNG of one bit
    assert set(np.unique(read_section(masks, 0))) == {0, 255}


# ---------------------------------------------------------------------------------------- bad input


def rgb(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((50, 60, 3), np.uint8), photometric="rgb")


def pages(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((2, 50, 60), np.uint8), photometric="minisblack")


def replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "junk": (
        lambda p: p.write_text("hello"),
        r"02.tif is no image: it begins with b'hell', not as a TIFF. Needed: .* Remove it",
    ),
    "empty file": (lambda p: p.write_bytes(b""), "02.tif is no image: it is empty"),
    "cut off": (
        lambda p: p.write_bytes(p.read_bytes()[:1000]),
        "02.tif is cut short: it has 1000 bytes, its header needs 3256. Copy it",
    ),
    "cut off in its tags": (
        lambda p: p.write_bytes(p.read_bytes()[:100]),
        "02.tif is cut short or damaged: of its 100 bytes the tags",
    ),
    "colours": (rgb, "02.tif has colours or channels"),
    "pages": (pages, "02.tif holds 2 images; needed: one"),
    "other size": (
        lambda p: tifffile.imwrite(p, np.zeros((50, 61), np.uint8)),
        r"sizes \(y, x\): \(50, 60\) in 4 files, such as 00.tif; \(50, 61\) in 1",
    ),
    "other type": (
        lambda p: tifffile.imwrite(p, np.zeros((50, 60), np.uint16)),
        "different pixel types: uint8 in 4 files, such as 00.tif; uint16 in 1",
    ),
    "complex": (
        lambda p: tifffile.imwrite(p, np.zeros((50, 60), np.complex64)),
        "02.tif has pixels of type complex64; needed: uint8",
    ),
    "broken link": (lambda p: replace(p, lambda q: q.symlink_to("gone")), "02.tif cannot be read: No such file"),
    "a folder": (lambda p: replace(p, Path.mkdir), "02.tif cannot be read: Is a directory"),
    "gap": (Path.unlink, r"counts its sections from 0 to 4, but has no section 2; needed: .* pass --allow-gaps"),
    "duplicate": (lambda p: shutil.copy(p, p.with_name("2.tif")), r"but has several files of one number \(02.tif, 2.tif\)"),
    "copy": (lambda p: shutil.copy(p, p.with_name("02 copy.tif")), r"but has several files of one number \(02 copy.tif, 02.tif\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_headers_and_names_tell_what_is_wrong(folder: Path, case: str) -> None:
    spoil, message = BAD[case]
    spoil(folder / "02.tif")
    with pytest.raises(PathError, match=message) as refused:
        open_stack(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.integers(0, 3255))
def test_a_tiff_cut_anywhere_is_refused_by_its_header(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "0.tif"
    tifffile.imwrite(path, ramp(0))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PathError, match=r"0\.tif is (no image|cut short)"):
        open_stack(path.parent)


@given(st.integers(0, 10_000))
def test_a_png_cut_anywhere_is_refused_by_its_chunks(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "0.png"
    whole = imagecodecs.png_encode(ramp(0))
    path.write_bytes(whole[: length % len(whole)])
    with pytest.raises(PathError, match=r"0\.png is (no image|cut short)"):
        open_stack(path.parent)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_with_colours_is_refused(tmp_path: Path, channels: int) -> None:
    imagecodecs.imwrite(tmp_path / "0.png", np.zeros((5, 5, channels), np.uint8))
    with pytest.raises(PathError, match=r"0\.png has colours or channels"):
        open_stack(tmp_path)


def test_gaps_and_duplicates_are_told_when_allowed(folder: Path) -> None:
    (folder / "01.tif").unlink()
    shutil.copy(folder / "03.tif", folder / "3.tif")
    stack = open_stack(folder, allow_gaps=True)
    assert (stack.gaps, stack.duplicates) == ((1,), (3,))
    assert [section.path.name for section in stack.files] == ["00.tif", "02.tif", "03.tif", "3.tif", "04.tif"]


def test_a_folder_that_holds_none_or_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=re.escape(f"{tmp_path} holds no images; needed: one .tif, .tiff, .png file a section")):
        open_stack(tmp_path)
    with pytest.raises(PathError, match="nowhere cannot be listed: No such file or directory. Needed: a folder"):
        open_stack(tmp_path / "nowhere")
    (tmp_path / "file.tif").touch()
    with pytest.raises(PathError, match=r"file.tif cannot be listed: Not a directory"):
        open_stack(tmp_path / "file.tif")


def test_what_may_not_be_read_is_refused(folder: Path) -> None:
    (folder / "02.tif").chmod(0)
    with without_root(folder), pytest.raises(PathError, match=r"02.tif cannot be read: Permission denied"):
        open_stack(folder)
    (locked := folder / "locked").mkdir(mode=0)
    with without_root(folder), pytest.raises(PathError, match=r"locked cannot be listed: Permission denied"):
        open_stack(locked)


class without_root:
    """Within: permissions count, even for a test that runs as root; the folders above are opened for it."""

    def __init__(self, folder: Path) -> None:
        for parent in [folder, *folder.parents]:
            if os.geteuid() == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o055)

    def __enter__(self) -> None:
        self.user = os.geteuid()
        if self.user == 0:
            os.seteuid(65534)

    def __exit__(self, *_: object) -> None:
        os.seteuid(self.user)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_named_with_file_and_position(tmp_path: Path, value: float) -> None:
    pixels = np.ones((50, 60), np.float32)
    pixels[7, 9] = pixels[8, 2] = value
    tifffile.imwrite(tmp_path / "0.tif", pixels)
    stack = open_stack(tmp_path)
    with pytest.raises(DataError, match=rf"0\.tif holds 2 pixels that are not finite, the first is {value} at \(y=7, x=9\)"):
        read_section(stack, 0)


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_codes_that_cannot_be_decoded_are_told_of_their_file(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(path := tmp_path / "0.tif", ramp(0), compression=compression)
    stack, whole = open_stack(tmp_path), bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        (start,), (size,) = tiff.pages.first.dataoffsets, tiff.pages.first.databytecounts
    whole[start : start + size] = b"\xff" * size
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"0\.tif cannot be decoded: .* Copy it again"):
        read_section(stack, 0)


def test_a_file_that_changed_since_its_header_was_read_is_refused(folder: Path) -> None:
    stack = open_stack(folder)
    tifffile.imwrite(folder / "02.tif", np.zeros((50, 61), np.uint8))
    with pytest.raises(DataError, match=r"02.tif holds uint8 of \(50, 61\) px, its header told uint8 of \(50, 60\)"):
        read_section(stack, 2)
