"""A folder of sections answers as a zarr store does: other readers see a multiscale volume, decoded once a section."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import yaozarrs
import zarr

from emkit.errors import DataError
from emkit.io.omezarr import read_levels
from emkit.io.sections import open_stack, write_section
from emkit.io.virtual import SectionsAsZarr

VOXEL_NM = (45.0, 4.6, 4.6)


@pytest.fixture
def stack(tmp_path: Path) -> tuple[Path, Any]:
    array = np.random.default_rng(0).integers(0, 60_000, (3, 600, 520), dtype=np.uint16)
    (folder := tmp_path / "sections").mkdir()
    for z, pixels in enumerate(array):
        write_section(folder / f"{z}.tif", pixels, VOXEL_NM)
    return folder, array


def stored(served: SectionsAsZarr, folder: Path) -> Path:
    """What a viewer would fetch, as files."""
    for key in ["zarr.json", *(f"{level}/zarr.json" for level in range(3))]:
        put(folder / key, served.get(key))
    for level in range(3):
        for z in range(3):
            for y in range(3):
                for x in range(3):
                    put(folder / (key := f"{level}/c/{z}/{y}/{x}"), served.get(key))
    return folder


def put(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_other_readers_see_the_sections_and_their_means(stack: tuple[Path, Any], tmp_path: Path) -> None:
    folder, array = stack
    store = stored(SectionsAsZarr(open_stack(folder), VOXEL_NM), tmp_path / "store")
    yaozarrs.validate_zarr_store(str(store))
    group: Any = zarr.open_group(store, mode="r")
    for level in range(3):
        np.testing.assert_array_equal(group[str(level)][:], array)
        array = tensorstore.downsample(tensorstore.array(array), [1, 2, 2], "mean").read().result()
    assert [level.voxel_size_nm for level in read_levels(store)] == [(45, 4.6, 4.6), (45, 9.2, 9.2), (45, 18.4, 18.4)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "1",
        "3/zarr.json",
        "0/c/3/0/0",
        "0/c/0/3/0",
        "0/c/0/0",
        "0/c/-1/0/0",
        "c/0/0/0",
        "0/c/0/0/0/..",
        "../0/zarr.json",
        "zarr.json/",
    ],
)
def test_a_key_that_no_store_has_is_none(stack: tuple[Path, Any], key: str) -> None:
    assert SectionsAsZarr(open_stack(stack[0]), VOXEL_NM).get(key) is None


def test_a_section_is_decoded_once_for_many_chunks_asked_at_once(stack: tuple[Path, Any]) -> None:
    folder, array = stack
    served = SectionsAsZarr(open_stack(folder), VOXEL_NM)
    keys = [f"{level}/c/0/{y}/{x}" for level in range(2) for y in range(3) for x in range(3)] * 3
    with ThreadPoolExecutor(8) as pool:
        chunks = dict(zip(keys, pool.map(served.get, keys), strict=True))
    shutil.rmtree(folder)  # nothing is read again
    assert served.get("0/c/0/0/0") == chunks["0/c/0/0/0"] == array[0, :256, :256].tobytes()


def test_a_damaged_section_is_told_and_the_others_are_served(stack: tuple[Path, Any]) -> None:
    folder, array = stack
    served = SectionsAsZarr(open_stack(folder), VOXEL_NM)
    (folder / "1.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match="1.tif cannot be decoded"):
        served.get("0/c/1/0/0")
    assert served.get("0/c/2/0/0") == array[2, :256, :256].tobytes()
