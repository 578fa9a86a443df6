"""Files of VAST, by its published syntax: a `.vsvi` names tiles that hold the image, an exported segmentation keeps its numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import emkit
from emkit.errors import DataError, ParameterError, PathError
from emkit.io.vast import TILE_PX, Segment, open_vast, read_colours
from tests.io.readers import write_volume

NM = (50.0, 4.0, 5.0)
COLOURS = """% VAST segmentation color file, version 1.0
% the first line holds the background
0   0   0 0 0 0   0 0 0 0   -1 -1 -1   0 0 0 1   0   0 0 0 0 0 0   "Background"
1   1   255 0 0 10   0 255 0 3   20 10 1   0 2 0 0   1   0 0 0 39 29 1   "Neurons"
70000   0   1 2 3 0   4 5 6 0   7 8 0   1 0 0 0   70000   5 6 0 9 9 0   "dendrite "a" (spiny)"
"""


def as_vast_reads(folder: Path, level: int) -> np.ndarray:
    """The image of a level as the templates of the `.vsvi` name its tiles."""
    (file,) = folder.glob("*.vsvi")
    told = json.loads(file.read_text())
    template = told["MipMapFileNameTemplate" if level else "SourceFileNameTemplate"]
    order = told["MipMapParamSequence" if level else "SourceParamSequence"]
    scale = 2**level
    size = [-(-told[f"TargetDataSize{axis}"] // scale) for axis in "YX"]
    sections = []
    for s in range(told["SourceMinS"], told["SourceMaxS"] + 1):
        rows = []
        for r in range(1, -(-size[0] // told["SourceTileSizeY"]) + 1):
            columns = range(1, -(-size[1] // told["SourceTileSizeX"]) + 1)
            names = [template % tuple({"m": level, "s": s, "r": r, "c": c}[key] for key in order) for c in columns]
            rows.append(np.hstack([np.asarray(Image.open(folder / name.replace("\\", "/"))) for name in names]))
        sections.append(np.vstack(rows)[: size[0], : size[1]])
    return np.stack(sections)


def test_a_vsvi_names_tiles_that_hold_the_image(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).integers(0, 255, (2, 300, TILE_PX + 101), dtype=np.uint8)
    write_volume(tmp_path / "p.ome.zarr", gray, NM)
    emkit.convert(tmp_path / "p.ome.zarr", out=tmp_path / "vast", to="vsvi")
    told = json.loads((tmp_path / "vast" / "p.vsvi").read_text())
    assert told["ServerType"] == "imagetiles" and told["SourceMaxC"] == 2 and told["SourceMaxM"] == 1
    assert [told[f"TargetVoxelSize{axis}nm"] for axis in "ZYX"] == list(NM)
    np.testing.assert_array_equal(as_vast_reads(tmp_path / "vast", 0), gray)
    half = as_vast_reads(tmp_path / "vast", 1)
    np.testing.assert_allclose(half[:, :, :-1], gray[:, :, :-1].reshape(2, 150, 2, 562, 2).mean((2, 4)), atol=0.51)

    write_volume(tmp_path / "float.ome.zarr", gray.astype(np.float32), NM)
    with pytest.raises(ParameterError, match="VAST shows grey of 8 bits; found float32"):
        emkit.convert(tmp_path / "float.ome.zarr", out=tmp_path / "other", to="vsvi")


@pytest.mark.parametrize("kind", ["rgb.png", "grey.png", "rgb.tif", "grey.tif"])
def test_an_exported_segmentation_keeps_its_numbers(kind: str, tmp_path: Path) -> None:
    (folder := tmp_path / "export").mkdir()
    largest = 1 << 24 if kind.startswith("rgb") else 1 << 16
    ids = np.random.default_rng(0).integers(0, largest, (11, 20, 30)).astype(np.uint32)
    for z, section in enumerate(ids):
        rgb = np.stack([section >> 16, section >> 8 & 255, section & 255], -1).astype(np.uint8)
        pixels = rgb if kind.startswith("rgb") else section.astype(np.uint16)
        file = folder / f"seg_s{z}_Y0_X0.{kind[-3:]}"
        if kind.endswith("png"):
            Image.fromarray(pixels).save(file)
        else:
            tifffile.imwrite(file, pixels)
    (folder / "colors.txt").write_text(COLOURS)
    emkit.convert(folder, out=tmp_path / "seg.ome.zarr", voxel_size_nm=NM)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "seg.ome.zarr" / "0", mode="r"), ids)
    assert "image-label" in (tmp_path / "seg.ome.zarr" / "zarr.json").read_text()


def test_a_colour_file_tells_names_and_groups(tmp_path: Path) -> None:
    (file := tmp_path / "colors.txt").write_text(COLOURS)
    found = read_colours(file)
    assert found[70000] == Segment('dendrite "a" (spiny)', (1, 2, 3), 1, (0, 8, 7))
    assert found[1].name == "Neurons" and found[1].parent == 0
    file.write_text(COLOURS.replace("10   0 255", "0 255"))
    with pytest.raises(DataError, match=r"colors.txt, line 4: .* needed: 24 numbers and a name in quotes"):
        read_colours(file)


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="holds no images"):
        open_vast(tmp_path)
    for x in (0, 1):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"seg_s0_Y0_X{x}.png")
    with pytest.raises(PathError, match="several tiles of each section"):
        open_vast(tmp_path)
