"""Every way between formats keeps every voxel, its place and its size; what cannot be kept is refused before work."""

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr

from emkit import convert, open_volume, plan
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.omezarr import read_levels, read_volume
from emkit.io.sections import open_stack, read_section
from emkit.params import Call
from emkit.run.drive import execute
from tests.io.readers import digests, write_volume

VOXEL_NM = (45.0, 4.6, 4.6)
ARRAY = np.random.default_rng(0).integers(0, 60_000, (5, 150, 130), dtype=np.uint16)
LABELS = (ARRAY // 30_000).astype(np.uint32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sections of every kind that must be decoded or need not."""
    (made := tmp_path / "sections ü").mkdir()
    for z, pixels in enumerate(ARRAY):
        if z == 1:
            imagecodecs.imwrite(made / f"s{z}.png", pixels)
        else:
            tifffile.imwrite(made / f"s{z}.tif", pixels, compression="zlib" if z == 2 else None, byteorder=">" if z == 3 else "<")
    return made


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    write_volume(out := tmp_path / "in.ome.zarr", ARRAY, VOXEL_NM)
    return out


def pixels_of(folder: Path) -> Any:
    stack = open_stack(folder)
    return np.stack([read_section(stack, z) for z in range(len(stack.files))])


# ---------------------------------------------------------------------------------------- every way


def test_sections_become_a_volume_and_come_back(folder: Path, tmp_path: Path) -> None:
    report = convert(folder, out=tmp_path / "v.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert (report.source_format, report.kind, report.shape, report.dtype) == ("sections", "image", ARRAY.shape, "uint16")
    np.testing.assert_array_equal(open_volume(tmp_path / "v.ome.zarr"), ARRAY)
    assert [level.shape for level in read_levels(tmp_path / "v.ome.zarr")] == [(5, 150, 130), (5, 75, 65), (5, 38, 33)]
    assert not (tmp_path / "v.ome.zarr" / "decoded").exists()

    convert(tmp_path / "v.ome.zarr", out=tmp_path / "back", to="sections")
    np.testing.assert_array_equal(pixels_of(tmp_path / "back"), ARRAY)
    assert sorted(path.name for path in (tmp_path / "back").glob("*.tif")) == [f"{z}.tif" for z in range(5)]


def test_a_volume_becomes_precomputed_and_comes_back_where_it_was(volume: Path, tmp_path: Path) -> None:
    convert(volume, out=tmp_path / "pre", to="precomputed")
    info = json.loads((tmp_path / "pre" / "info").read_text())
    assert (info["type"], info["data_type"]) == ("image", "uint16")
    assert [scale["resolution"] for scale in info["scales"]] == [[4.6, 4.6, 45], [9.2, 9.2, 45], [18.4, 18.4, 45]]
    assert [scale["size"] for scale in info["scales"]] == [[130, 150, 5], [65, 75, 5], [33, 38, 5]]
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{tmp_path}/pre/"}}
    coarse = tensorstore.open(spec | {"scale_index": 1}).result()[..., 0].read().result()
    np.testing.assert_array_equal(coarse.T, open_volume(volume, 1))

    report = convert(tmp_path / "pre", out=tmp_path / "back.ome.zarr")
    assert (report.source_format, report.voxel_size_nm) == ("precomputed", VOXEL_NM)
    np.testing.assert_array_equal(open_volume(tmp_path / "back.ome.zarr"), ARRAY)
    # its voxels lie between integers, those of OME-Zarr on them: half a voxel, so that both show at one place
    assert read_levels(tmp_path / "back.ome.zarr")[0].origin_nm == pytest.approx((22.5, 2.3, 2.3))

    convert(tmp_path / "back.ome.zarr", out=tmp_path / "again", to="precomputed")
    assert digests_of_voxels(tmp_path / "again") == digests_of_voxels(tmp_path / "pre")


def digests_of_voxels(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(folder).items() if "/" in name or name == "info"}


def test_an_offset_is_kept_and_scales_that_it_does_not_divide_are_left_out(tmp_path: Path) -> None:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/pre/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint32", "num_channels": 1},
        "scale_metadata": {
            "size": [130, 150, 5],
            "voxel_offset": [20, 42, 7],
            "resolution": [8, 8, 8],
            "chunk_size": [64, 64, 64],
            "encoding": "raw",
        },
    }
    tensorstore.open(spec, create=True).result()[..., 0].write(LABELS.T).result()
    convert(tmp_path / "pre", out=tmp_path / "v.ome.zarr")
    found = read_volume(tmp_path / "v.ome.zarr")
    assert (found.kind, found.levels[0].origin_nm) == ("labels", (60, 340, 164))
    np.testing.assert_array_equal(open_volume(tmp_path / "v.ome.zarr"), LABELS)
    assert set(np.unique(open_volume(tmp_path / "v.ome.zarr", 2))) <= {0, 1}

    convert(tmp_path / "v.ome.zarr", out=tmp_path / "back", to="precomputed")
    (scale,) = json.loads((tmp_path / "back" / "info").read_text())["scales"]
    assert scale["voxel_offset"] == [20, 42, 7]


def write_n5(folder: Path, **attributes: Any) -> None:
    metadata = {"dimensions": [130, 150, 5], "blockSize": [64, 64, 5], "dataType": "uint16", "compression": {"type": "gzip"}}
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{folder}/"}, "metadata": metadata | attributes}
    tensorstore.open(spec, create=True).result().write(ARRAY.T).result()


@pytest.mark.parametrize(
    ("group", "dataset"),
    [
        ({}, {"resolution": [4.6, 4.6, 45], "units": ["nm", "nm", "nm"]}),
        ({"pixelResolution": {"dimensions": [0.0046, 0.0046, 0.045], "unit": "um"}}, {}),
    ],
)
def test_n5_becomes_a_volume(tmp_path: Path, group: dict[str, Any], dataset: dict[str, Any]) -> None:
    write_n5(tmp_path / "in.n5" / "s0", **dataset)
    (tmp_path / "in.n5" / "attributes.json").write_text(json.dumps({"n5": "2.5.1"} | group))
    report = convert(tmp_path / "in.n5", out=tmp_path / "v.ome.zarr")
    assert (report.source_format, report.voxel_size_nm) == ("N5", pytest.approx(VOXEL_NM))
    np.testing.assert_array_equal(open_volume(tmp_path / "v.ome.zarr"), ARRAY)


def test_n5_without_sizes_needs_them_told(tmp_path: Path) -> None:
    write_n5(tmp_path / "in.n5")
    with pytest.raises(
        ParameterError, match=r"voxel_size_nm is missing: .*in.n5 holds N5, which does not tell it. Give z, y, x in nm"
    ):
        convert(tmp_path / "in.n5", out=tmp_path / "out")
    convert(tmp_path / "in.n5", out=tmp_path / "out", to="sections", voxel_size_nm=VOXEL_NM)
    np.testing.assert_array_equal(pixels_of(tmp_path / "out"), ARRAY)


def test_04_becomes_05_and_a_size_that_is_given_replaces_the_told_one(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "old.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=ARRAY, chunk_key_encoding={"name": "v2", "separator": "/"})
    axes: Any = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    datasets: Any = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    convert(tmp_path / "old.zarr", out=tmp_path / "new.ome.zarr", voxel_size_nm=VOXEL_NM)
    assert (tmp_path / "new.ome.zarr" / "zarr.json").is_file()
    assert read_levels(tmp_path / "new.ome.zarr")[0].voxel_size_nm == VOXEL_NM
    np.testing.assert_array_equal(open_volume(tmp_path / "new.ome.zarr"), ARRAY)


def test_labels_are_not_averaged(tmp_path: Path) -> None:
    (folder := tmp_path / "labels").mkdir()
    for z, pixels in enumerate(LABELS * 10):
        tifffile.imwrite(folder / f"{z}.tif", pixels)
    assert convert(folder, out=tmp_path / "v.ome.zarr", voxel_size_nm=VOXEL_NM, labels=True).kind == "labels"
    assert set(np.unique(open_volume(tmp_path / "v.ome.zarr", 1))) == {0, 10}


def test_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        convert(folder, out=tmp_path / name, voxel_size_nm=VOXEL_NM)
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} <= {"ro-crate-metadata.json", "recipe.toml", "record.sha256"}


def test_the_real_sections_become_a_volume(data_dir: Path, tmp_path: Path) -> None:
    convert(data_dir / "vnc/stack1/raw", out=tmp_path / "v.ome.zarr", voxel_size_nm=VOXEL_NM)
    levels = read_levels(tmp_path / "v.ome.zarr")
    assert (levels[0].shape, levels[0].voxel_size_nm, len(levels)) == ((20, 1024, 1024), VOXEL_NM, 5)
    np.testing.assert_array_equal(open_volume(tmp_path / "v.ome.zarr")[7], tifffile.imread(data_dir / "vnc/stack1/raw/07.tif"))


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "sections"}, r"to: found sections for .*, which holds sections; needed: ome-zarr"),
        ({"to": "precomputed"}, "to: found precomputed for .*, which holds sections; needed: ome-zarr"),
        ({}, "voxel_size_nm is missing: .* holds sections, which does not tell it"),
        ({"voxel_size_nm": (45, 4.6, 0)}, r"voxel_size_nm\[2\]: found 0, needed greater than 0"),
        ({"voxel_size_nm": (4.6, 4.6)}, "voxel_size_nm"),
    ],
)
def test_sections_refuse_before_work(folder: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        execute(Call.of(convert, {"source": folder, "out": tmp_path / "out", **arguments}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]


def test_volumes_refuse_before_work(volume: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="voxel_size_nm: .* tells it, and its levels; convert it to ome-zarr to change it"):
        convert(volume, out=tmp_path / "out", to="precomputed", voxel_size_nm=VOXEL_NM)
    write_volume(tmp_path / "wide.ome.zarr", ARRAY.astype(np.float64))
    with pytest.raises(ParameterError, match="wide.ome.zarr has voxels of float64; needed for precomputed: uint8"):
        convert(tmp_path / "wide.ome.zarr", out=tmp_path / "out", to="precomputed")
    with pytest.raises(ParameterError, match="labels: found voxels of type float64, needed: uint8"):
        convert(tmp_path / "wide.ome.zarr", out=tmp_path / "out", labels=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("info", "{}", "info cannot be read as the metadata of a Neuroglancer precomputed volume"),
        ("info", "no json", "info cannot be read as the metadata of a Neuroglancer precomputed volume"),
        ("attributes.json", "no json", "attributes.json cannot be read: .*Needed: the JSON attributes of an N5"),
        ("attributes.json", '{"n5": "2.0"}', "is an N5 group of nothing; needed: the path of one dataset"),
        ("attributes.json", '{"dimensions": [1, 2, 3, 4]}', r"has the dimensions \[1, 2, 3, 4\]; needed: \(x, y, z\)"),
        ("attributes.json", '{"dimensions": [1, 2, 3]}', "cannot be read as N5"),
        ("zarr.json", "{}", "is a zarr without OME 'multiscales'"),
        ("notes.txt", "", "holds no images; needed: one .tif, .tiff, .png file a section"),
    ],
)
def test_a_folder_that_is_not_what_it_seems_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / name).write_text(content)
    with pytest.raises(PathError, match=message):
        convert(folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM)


def test_a_gap_is_refused_or_told(folder: Path, tmp_path: Path) -> None:
    (folder / "s3.tif").unlink()
    with pytest.raises(PathError, match="has no section 3"):
        convert(folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM)
    report = convert(folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM, allow_gaps=True)
    assert (report.gaps, report.shape) == ((3,), (4, 150, 130))


def test_a_pixel_that_is_no_number_ends_the_run_and_it_goes_on_once_mended(tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    for z in range(3):
        pixels = np.full((50, 60), z, np.float32)
        pixels[7, 9] = np.nan if z == 1 else 0
        tifffile.imwrite(folder / f"{z}.tif", pixels)
    with pytest.raises(DataError, match=r"1.tif holds 1 pixels that are not finite, the first is nan at \(y=7, x=9\)"):
        convert(folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM)
    assert not (tmp_path / "out").exists()
    tifffile.imwrite(folder / "1.tif", np.ones((50, 60), np.float32))
    convert(folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM)
    assert float(open_volume(tmp_path / "out")[1].mean()) == 1


def test_the_plan_tells_memory_and_disk_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    told = plan(convert, folder, out=tmp_path / "out", voxel_size_nm=VOXEL_NM)
    assert told.disk_bytes >= ARRAY.nbytes
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]
