"""Volumes round trip, have right pyramids, are the same bytes in any order, and every other reader agrees."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ome_zarr_models
import ome_zarr_models.v05
import pytest
import tensorstore
import xarray
import yaozarrs
import zarr
from hypothesis import given
from hypothesis import strategies as st

from emkit.blocks import Block
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.omezarr import (
    DTYPES,
    INTEGERS,
    create_volume,
    open_volume,
    read_levels,
    read_region,
    read_volume,
    shard_grid,
    write_block,
)
from emkit.model import SizeNm, VolumeKind
from tests.io.readers import VNC_NM, digests, write_volume

RECORD = "ignore:Object at ro-crate-metadata.json is not recognized"  # our record lies in the root: zarr tells of what is not zarr


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def objects(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Labels in boxes, as segmentations are."""
    small = np.random.default_rng(seed).integers(0, 200, [-(-n // 5) for n in shape]).astype(dtype)
    return small.repeat(5, 0).repeat(5, 1).repeat(5, 2)[tuple(map(slice, shape))]


shapes = st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 90))
chunkings = st.sampled_from([(8, 16), (8, 32), (16, 32), (64, 64), (64, 512)])


@given(shapes, st.sampled_from(DTYPES), chunkings, st.sampled_from([VNC_NM, (10.0, 10.0, 10.0), (5.0, 20.0, 7.0)]))
def test_any_volume_comes_back_with_the_means_of_the_plain_way(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], dtype: str, chunking: tuple[int, int], size_nm: SizeNm
) -> None:
    out, array = tmp_path_factory.mktemp("volume") / "v.ome.zarr", noise(shape, dtype)
    write_volume(out, array, size_nm, chunk_px=chunking[0], shard_px=chunking[1])
    check_levels(out, array, "mean")


@given(shapes, st.sampled_from(INTEGERS), chunkings)
def test_any_labels_come_back_with_their_most_frequent_in_each_voxel(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], dtype: str, chunking: tuple[int, int]
) -> None:
    out, array = tmp_path_factory.mktemp("labels") / "l.ome.zarr", objects(shape, dtype)
    write_volume(out, array, kind="labels", chunk_px=chunking[0], shard_px=chunking[1])
    check_levels(out, array, "mode")
    assert read_volume(out).kind == "labels"


def check_levels(out: Path, array: Any, method: Literal["mean", "mode"]) -> None:
    """Each level is the whole finer one, downsampled at once."""
    levels = read_levels(out)
    assert levels[0].shape == array.shape
    for index, level in enumerate(levels):
        if index:
            factor = [-(-n // m) for n, m in zip(array.shape, level.shape, strict=True)]
            array = tensorstore.downsample(tensorstore.array(array), factor, method).read().result()
        whole = Block(*((0, n) for n in level.shape))
        np.testing.assert_array_equal(read_region(out, index, whole), array)


@given(st.integers(0, 2**32), chunkings)
def test_any_order_of_blocks_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, chunking: tuple[int, int]
) -> None:
    folder, array = tmp_path_factory.mktemp("order"), noise((12, 40, 50))
    for name, order in (("one", 0), ("other", seed)):
        write_volume(folder / name, array, seed=order, chunk_px=chunking[0], shard_px=chunking[1])
    assert digests(folder / "one") == digests(folder / "other")


def test_blocks_written_at_once_and_twice_give_the_same_bytes(tmp_path: Path) -> None:
    array = noise((20, 128, 128))
    write_volume(tmp_path / "one", array, chunk_px=16, shard_px=32)
    write_volume(tmp_path / "many", array, chunk_px=16, shard_px=32)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            list(pool.map(lambda b: write_block(tmp_path / "many", b, array[b.slices].copy()), shard_grid(tmp_path / "many")))
    assert digests(tmp_path / "one") == digests(tmp_path / "many")


def test_a_coarser_voxel_is_the_mean_rounded_half_to_even(tmp_path: Path) -> None:
    array = np.zeros((1, 2, 130), np.uint8)
    array[0, :, :6] = [[0, 1, 1, 2, 255, 254], [0, 1, 1, 2, 255, 255]]
    write_volume(tmp_path / "v", array, (10, 10, 10))
    assert open_volume(tmp_path / "v", 1)[0, 0, :3].values.tolist() == [0, 2, 255]


def test_levels_register_a_block_stays_where_it_is_in_nm(tmp_path: Path) -> None:
    """A bright box whose edges are multiples of the coarsest voxel has the same centre of mass in nm in every level."""
    array = np.zeros((16, 128, 128), np.float32)
    array[4:8, 32:64, 64:96] = 1
    write_volume(tmp_path / "v", array, (20, 10, 10))
    for level in read_levels(tmp_path / "v"):
        voxels = open_volume(tmp_path / "v", int(level.path))
        centre = [float((voxels * voxels[axis]).sum() / voxels.sum()) for axis in "zyx"]
        assert centre == pytest.approx([5.5 * 20, 47.5 * 10, 79.5 * 10])


# ---------------------------------------------------------------------------------------- other readers


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A stack of thin sections with a record and a report in its root, and its voxels."""
    out, array = tmp_path_factory.mktemp("others") / "aligned stäck #1.ome.zarr", noise((20, 300, 200), "uint16")
    write_volume(out, array)
    (out / "ro-crate-metadata.json").write_text("{}")
    return out, array


@pytest.mark.filterwarnings(RECORD)
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_both_validators_accept_it(tmp_path: Path, kind: VolumeKind) -> None:
    out = tmp_path / "v.ome.zarr"
    write_volume(out, objects((20, 100, 100), "uint32"), kind=kind)
    (out / "ro-crate-metadata.json").write_text("{}")
    yaozarrs.validate_zarr_store(str(out))
    group = zarr.open_group(out, mode="r")
    model = ome_zarr_models.v05.ImageLabel if kind == "labels" else ome_zarr_models.v05.Image
    assert model.from_zarr(group).attributes.ome.multiscales[0].datasets[1].path == "1"
    assert isinstance(ome_zarr_models.open_ome_zarr(group), model)


@pytest.mark.filterwarnings(RECORD)
def test_zarr_python_reads_the_same_and_sees_shards(volume: tuple[Path, Any]) -> None:
    out, array = volume
    level: Any = zarr.open_group(out, mode="r")["0"]
    np.testing.assert_array_equal(level[:], array)
    assert (level.shards, level.chunks) == ((20, 320, 256), (20, 64, 64))
    assert level.metadata.dimension_names == ("z", "y", "x")
    assert "zstd" in str(level.compressors)


def test_tensorstore_reads_the_same_and_knows_the_axes(volume: tuple[Path, Any]) -> None:
    out, array = volume
    store = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{out}/0/"}}).result()
    np.testing.assert_array_equal(store.read().result(), array)
    assert store.domain.labels == ("z", "y", "x")


def test_xarray_is_lazy_and_has_coordinates_in_nm(volume: tuple[Path, Any]) -> None:
    out, array = volume
    lazy = open_volume(out)
    assert (lazy.dims, lazy.dtype, lazy.chunks) == (("z", "y", "x"), np.dtype("uint16"), None)
    assert lazy.z.attrs["units"] == lazy.x.attrs["units"] == "nm"
    np.testing.assert_allclose(lazy.z, 45 * np.arange(20))
    np.testing.assert_allclose(lazy.x, 4.6 * np.arange(200))
    np.testing.assert_array_equal(lazy.sel(z=91, method="nearest"), array[2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[-1], array[-1])
    assert lazy.variable._in_memory is False


@pytest.mark.parametrize(
    "key",
    [
        np.s_[3], np.s_[-1, 5, 7], np.s_[:, ::-1, ::3], np.s_[[3, 1, 1], :, [5, 2]], np.s_[2:2], np.s_[..., -5:],
        np.s_[5:500, 299:], np.s_[np.array([True, False] * 10)],
    ],
)  # fmt: skip
def test_lazy_indexing_is_that_of_an_array_in_memory(volume: tuple[Path, Any], key: Any) -> None:
    out, array = volume
    in_memory = xarray.DataArray(array, dims=("z", "y", "x"))
    np.testing.assert_array_equal(open_volume(out)[key], in_memory[key])


# ---------------------------------------------------------------------------------------- OME-Zarr 0.4


def write_04(out: Path, array: Any, axes: Any, transformations: Any, common: Any = None, path: str = "s0") -> None:
    """What other writers made of zarr v2, by hand."""
    group = zarr.open_group(out, mode="w", zarr_format=2)
    group.create_array(path, data=array, chunks=array.shape, chunk_key_encoding={"name": "v2", "separator": "/"})
    multiscale = {"version": "0.4", "axes": axes, "datasets": [{"path": path, "coordinateTransformations": transformations}]}
    group.attrs["multiscales"] = [multiscale | ({"coordinateTransformations": common} if common else {})]


def axes(names: Any = "zyx", unit: str | None = "micrometer") -> Any:
    kinds = {"t": {"type": "time", "unit": "second"}, "c": {"type": "channel"}}
    return [{"name": name} | kinds.get(name, {"type": "space"} | ({"unit": unit} if unit else {})) for name in names]


def test_04_is_read_in_nm_with_all_its_transformations(tmp_path: Path) -> None:
    array = noise((5, 30, 40))
    steps = [{"type": "scale", "scale": [0.05, 0.004, 0.004]}, {"type": "translation", "translation": [1, 2, 3]}]
    write_04(tmp_path / "v.zarr", array, axes(), steps, [{"type": "scale", "scale": [1, 2, 2]}])
    (level,) = read_levels(tmp_path / "v.zarr")
    assert (level.path, level.shape, level.dtype) == ("s0", (5, 30, 40), "uint8")
    assert level.voxel_size_nm == pytest.approx((50, 8, 8))
    assert level.origin_nm == pytest.approx((1000, 4000, 6000))
    lazy = open_volume(tmp_path / "v.zarr")
    np.testing.assert_array_equal(lazy, array)
    assert float(lazy.y[1]) == pytest.approx(4008)


def test_one_channel_and_time_point_are_passed_over(tmp_path: Path) -> None:
    array = noise((1, 1, 5, 30, 40))
    write_04(tmp_path / "v.zarr", array, axes("tczyx", "nanometer"), [{"type": "scale", "scale": [1, 1, 50, 4, 4]}])
    np.testing.assert_array_equal(open_volume(tmp_path / "v.zarr"), array[0, 0])
    assert read_levels(tmp_path / "v.zarr")[0].voxel_size_nm == (50, 4, 4)


@pytest.mark.parametrize(
    ("shape", "names", "unit", "message"),
    [
        ((2, 5, 6, 7), "czyx", "nanometer", r"has the shape \(2, 5, 6, 7\); needed: \(z, y, x\)"),
        ((5, 6), "yx", "nanometer", "has the axes y, x; needed: a volume whose last axes are z, y, x"),
        ((5, 6, 7), "zyx", None, "has z in no unit, y in no unit, x in no unit; needed: a length for each"),
    ],
)
def test_what_is_no_volume_in_nm_is_refused(
    tmp_path: Path, shape: tuple[int, ...], names: Any, unit: str | None, message: str
) -> None:
    write_04(tmp_path / "v.zarr", noise(shape), axes(names, unit), [{"type": "scale", "scale": [1.0] * len(shape)}])
    with pytest.raises(PathError, match=message):
        read_levels(tmp_path / "v.zarr")


# ---------------------------------------------------------------------------------------- what is refused


def test_other_things_than_a_volume_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"nothing does not exist.*OME-Zarr"):
        read_levels(tmp_path / "nothing")
    with pytest.raises(PathError, match="is no OME-Zarr image"):
        read_levels(tmp_path)
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    with pytest.raises(PathError, match="plain.zarr is a zarr without OME 'multiscales'"):
        read_levels(tmp_path / "plain.zarr")
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(PathError, match=r"zarr.json cannot be read: .*Needed: the JSON metadata"):
        read_levels(tmp_path)


def test_a_missing_level_and_wrong_metadata_are_named(tmp_path: Path) -> None:
    out = tmp_path / "v.ome.zarr"
    write_volume(out, noise((5, 100, 100)))
    with pytest.raises(ParameterError, match="has levels 0 to 1; found level 2"):
        open_volume(out, 2)
    (out / "1" / "zarr.json").unlink()
    with pytest.raises(PathError, match="names the level '1', which cannot be opened"):
        read_levels(out)
    document = json.loads((out / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"] = []
    (out / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(PathError, match=r"is no OME-Zarr image of version 0.4 or 0.5: multiscales.0.datasets"):
        read_levels(out)


def test_types_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="image: found voxels of type complex64, needed: uint8"):
        create_volume(tmp_path / "v", shape=(5, 5, 5), dtype="complex64", voxel_size_nm=VNC_NM)
    with pytest.raises(ParameterError, match="labels: found voxels of type float32, needed: uint8"):
        create_volume(tmp_path / "v", shape=(5, 5, 5), dtype="float32", voxel_size_nm=VNC_NM, kind="labels")
    assert not (tmp_path / "v").exists()


def test_a_block_of_another_shape_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    create_volume(tmp_path / "v", shape=(5, 5, 5), dtype="uint8", voxel_size_nm=VNC_NM)
    with pytest.raises(ValueError, match=r"found voxels uint16 of \(5, 5, 4\), needed uint8 of \(5, 5, 5\)"):
        write_block(tmp_path / "v", shard_grid(tmp_path / "v")[0], np.zeros((5, 5, 4), np.uint16))


def test_a_damaged_shard_is_told_with_its_file(tmp_path: Path) -> None:
    write_volume(tmp_path / "v", noise((5, 100, 100)))
    shard = tmp_path / "v" / "0" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"Voxels cannot be read: .*0/c/0/0/0.* make it again from its source"):
        open_volume(tmp_path / "v").load()


def test_a_full_disk_is_told_with_its_file(tmp_path: Path) -> None:
    """In a process of its own, which may write no file larger than 1000 bytes."""
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from emkit.io.omezarr import create_volume, shard_grid, write_block
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out = Path(sys.argv[1])
create_volume(out, shape=(5, 50, 50), dtype="uint8", voxel_size_nm=(45, 4, 4))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_block(out, shard_grid(out)[0], np.random.default_rng(0).integers(0, 255, (5, 50, 50), np.uint8))
except OSError as refused:
    print(refused)
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "v")]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert "File too large" in told and "/0/c/0/0/0" in told
    assert not (tmp_path / "v" / "0" / "c" / "0" / "0" / "0").exists()
