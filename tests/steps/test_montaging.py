"""montage_sections from tiles to sections: the same picture however the positions are told, and what cannot fit is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import emkit
from emkit.errors import DataError, EmkitError, ParameterError, PathError
from emkit.io.tiles import open_tiles
from emkit.steps.montaging import REPORT, MontageReport
from tests.align.test_montage import SIDE, STEP, Cut

VOXEL_NM = (45.0, 4.6, 4.6)
PATTERN = "s{section}_r{row}_c{column}.tif"


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sections of 1 x 2 tiles, and their positions told in three ways."""
    base = tmp_path_factory.mktemp("montage")
    (folder := base / "tiles").mkdir()
    told = []
    for z in range(2):
        cut = Cut(1, 2, seed=z + 3)
        for c, (tile, (y, x)) in enumerate(zip(cut.tiles, cut.nominal, strict=True)):
            tifffile.imwrite(folder / f"s{z}_r0_c{c}.tif", tile)
            told.append((z, f"s{z}_r0_c{c}.tif", y, x))
    (base / "tiles.csv").write_text("section,file,y,x\n" + "".join(f"{z},{name},{y},{x}\n" for z, name, y, x in told))
    lines = "".join(f"{name}; ; ({x}, {y}, {z}.0)\n" for z, name, y, x in told)
    (base / "TileConfiguration.txt").write_text(f"# Define the number of dimensions we are working on\ndim = 3\n\n{lines}")
    patches = ["".join(
        f'<t2_patch oid="{k}" file_path="C:\\scope\\{name}" transform="matrix(1.0,0.0,0.0,1.0,{x},{y})"/>'
        for k, (of, name, y, x) in enumerate(told) if of == z
    ) for z in range(2)]  # fmt: skip
    layers = "".join(f'<t2_layer oid="9{z}" z="{z}.0">{patch}</t2_layer>' for z, patch in enumerate(patches))
    (base / "project.xml").write_text(
        f'<?xml version="1.0"?><!DOCTYPE trakem2 [<!ELEMENT trakem2 ANY>]><trakem2><t2_layer_set>{layers}</t2_layer_set></trakem2>'
    )
    return folder


@pytest.fixture(scope="module")
def by_name(tiles: Path) -> tuple[Path, MontageReport]:
    out = tiles.with_name("by_name")
    return out, emkit.montage_sections(tiles, out=out, voxel_size_nm=VOXEL_NM, pattern=PATTERN, overlap=1 - STEP / SIDE)


def pictures(folder: Path) -> list[np.ndarray]:
    return [tifffile.imread(path) for path in sorted(folder.glob("*.tif"))]


def test_tiles_become_sections_of_one_canvas(by_name: tuple[Path, MontageReport]) -> None:
    out, report = by_name
    assert [path.name for path in sorted(out.glob("*.tif"))] == ["section_0.tif", "section_1.tif"]
    assert [picture.shape for picture in pictures(out)] == [report.canvas] * 2
    assert all(section.islands == ((0, 1),) and section.residual_px < 0.2 for section in report.sections)
    assert json.loads((out / REPORT).read_text())["sections"][1]["files"] == ["s1_r0_c0.tif", "s1_r0_c1.tif"]
    assert str(report).startswith("2 sections of 4 tiles, 2 overlaps, median residual at most 0.")
    for picture, section in zip(pictures(out), report.sections, strict=True):
        height, width = section.size
        assert (picture[20 : height - 20, 20 : width - 20] > 0).mean() > 0.99


@pytest.mark.parametrize("name", ["tiles.csv", "TileConfiguration.txt", "project.xml"])
def test_positions_from_a_file_give_the_same_pictures(tiles: Path, by_name: tuple[Path, MontageReport], name: str) -> None:
    out = tiles.with_name(f"by_{name}")
    emkit.montage_sections(tiles, out=out, voxel_size_nm=VOXEL_NM, positions=tiles.with_name(name))
    for mine, theirs in zip(pictures(out), pictures(by_name[0]), strict=True):
        assert np.array_equal(mine, theirs)


def test_tiles_that_match_nobody_are_named(tiles: Path, tmp_path: Path) -> None:
    (table := tmp_path / "far.csv").write_text("file,y,x\ns0_r0_c0.tif,0,0\ns0_r0_c1.tif,0,600\n")
    report = emkit.montage_sections(tiles, out=tmp_path / "out", voxel_size_nm=VOXEL_NM, positions=table)
    assert "s0_r0_c1.tif holds to no others, placed by stage position" in str(report)
    assert report.canvas == (SIDE, 600 + SIDE)


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("a.csv", "file,x\n", DataError, "has no column y"),
        ("a.csv", "file,y,x\ns0_r0_c0.tif,0,far\n", DataError, "line 2: found the position"),
        ("a.csv", "file,y,x\n", DataError, "names no tiles"),
        ("a.csv", "file,y,x\n../tiles.csv,0,0\n", PathError, "holds no tiles.csv"),
        ("a.csv", "file,y,x\ns0_r0_c0.tif,0,0\ns0_r0_c0.tif,0,9\n", DataError, "is placed twice"),
        ("a.csv", "section,file,y,x\n../up,s0_r0_c0.tif,0,0\n", DataError, "a section named '../up'"),
        ("a.txt", "dim = 2\ns0_r0_c0.tif 0 0\n", DataError, "line 2: found"),
        ("a.xml", "<trakem2><t2_layer>", DataError, "is no whole XML"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', DataError, "defines entities"),
        ("a.md", "", ParameterError, "needed: .csv, .txt"),
    ],
)
def test_positions_that_do_not_fit_are_refused(
    tiles: Path, tmp_path: Path, name: str, text: str, kind: type[EmkitError], said: str
) -> None:
    (file := tmp_path / name).write_text(text)
    with pytest.raises(kind, match=said):
        open_tiles(tiles, positions=file)


@pytest.mark.parametrize(
    ("pattern", "kind", "said"),
    [
        ("s{section}_r{row}_c{col}.tif", ParameterError, r"found \{col\}"),
        ("s{section}.tif", ParameterError, "no {row} and no {column}"),
        ("tile_{row}.tif", PathError, "No name fits the pattern"),
    ],
)
def test_patterns_that_fit_nothing_are_refused(tiles: Path, pattern: str, kind: type[EmkitError], said: str) -> None:
    with pytest.raises(kind, match=said):
        open_tiles(tiles, pattern=pattern)
    with pytest.raises(ParameterError, match="both or neither"):
        open_tiles(tiles)
