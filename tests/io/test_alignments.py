"""Alignments of other programs: what is written comes back to 1e-9 px, and every convention is shown by points."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import DataError, ParameterError
from emkit.io.alignments.alignem import read_alignem, write_alignem
from emkit.io.alignments.aligntk import read_maps, read_nodes, write_maps
from emkit.io.alignments.field import to_six
from emkit.io.alignments.mir import read_script, write_script
from emkit.io.alignments.placed import PlacedSection, PlacedStack, between_centres, between_edges, of_xy_rows, xy_rows
from emkit.io.alignments.pyreconstruct import read_jser, write_jser
from emkit.io.alignments.scene import read_scene, write_scene
from emkit.io.alignments.trakem2 import read_trakem2, write_trakem2
from emkit.io.alignments.transform_list import read_list, write_list
from emkit.io.trakem2 import read_project
from emkit.transforms import Affine, Elastic

SHAPE = (300, 500)  # (y, x): a program that takes it for (x, y) errs by 200 px
CORNERS = np.array([[0, 0], [0, 499], [299, 0], [299, 499], [100.5, 40.25]])
EXACT_PX = 1e-9

Drawn = list[tuple[Affine, bool, list[float]]]
small = st.floats(-0.2, 0.2)
affines = st.builds(
    lambda a, b, c, d, y, x: Affine(((1 + a, b, y), (c, 1 + d, x))), small, small, small, small, *[st.floats(-400, 400)] * 2
)
sections = st.lists(st.tuples(affines, st.booleans(), st.lists(st.floats(3, 30), max_size=4)), min_size=1, max_size=5)


def stack_of(drawn: Drawn) -> PlacedStack:
    told = enumerate(drawn)
    placed = (PlacedSection(f"s{z}.tif", affine, SHAPE, out, tuple(snr)) for z, (affine, out, snr) in told)
    return PlacedStack(tuple(placed), (45.0, 4.0, 4.0))


def apart(found: PlacedStack, planted: PlacedStack) -> float:
    """How far the two place any corner, px."""
    pairs = zip(found.sections, planted.sections, strict=True)
    return max(float(np.abs(one.affine(CORNERS) - other.affine(CORNERS)).max()) for one, other in pairs)


@given(affines)
def test_the_habits_of_other_programs_are_the_same_map(affine: Affine) -> None:
    xx, xy, x0, yx, yy, y0 = np.ravel(xy_rows(affine))
    for y, x in CORNERS:
        assert np.allclose(affine([y, x]), [yx * x + yy * y + y0, xx * x + xy * y + x0], atol=EXACT_PX)
    assert of_xy_rows([*xy_rows(affine), [0, 0, 1]]) == affine
    assert np.allclose(between_edges(affine)(CORNERS + 0.5), affine(CORNERS) + 0.5, atol=EXACT_PX)
    assert np.allclose(between_centres(between_edges(affine))(CORNERS), affine(CORNERS), atol=EXACT_PX)


@given(sections)
def test_alignem_keeps_affines_excludes_snr_and_sizes(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    planted, file = stack_of(drawn), tmp_path_factory.mktemp("alignem") / "p.swiftir"
    write_alignem(file, planted, Path("/images"))
    found = read_alignem(file)
    assert apart(found, planted) < EXACT_PX
    assert [(s.file, s.shape, s.excluded, s.snr) for s in found.sections] == [
        (s.file, s.shape, s.excluded, s.snr) for s in planted.sections
    ]
    assert found.voxel_size_nm == planted.voxel_size_nm


def composed(project: dict[str, Any], level: str) -> list[np.ndarray]:
    """``alt_cafm`` as AlignEM-SWiFT makes it from the matches: that of the section before, after ``mir_afm``."""
    so_far, made = np.eye(3), []
    for section in project["stack"]:
        one = section["levels"][level]
        if one["swim_settings"]["include"]:
            so_far = so_far @ np.vstack([one["mir_afm"], [0, 0, 1]])
        made.append(so_far)
    return made


@given(sections)
def test_alignem_composes_the_same_alignment_from_the_matches(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    file = tmp_path_factory.mktemp("alignem") / "p.align"
    write_alignem(file, stack_of(drawn), Path("/images"))
    project = json.loads(file.read_text())
    for section, made in zip(project["stack"], composed(project, "s1"), strict=True):
        one = section["levels"]["s1"]
        assert np.allclose(np.vstack([one["cafm"], [0, 0, 1]]) @ np.vstack([one["alt_cafm"], [0, 0, 1]]), np.eye(3), atol=1e-8)
        if one["swim_settings"]["include"]:
            assert np.allclose(made[:2], one["alt_cafm"], atol=1e-6)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two levels, of which the finer is not aligned yet; with settings and notes of a person."""
    turned = Affine.rotation(3, (150, 250)).compose(Affine.translation(4, -8))
    write_alignem(file := tmp_path / "p.swiftir", stack_of([(Affine(), False, []), (turned, False, [9.0, 11.0])]), Path("/images"))
    held = json.loads(file.read_text())
    for section in held["stack"]:
        fine = section["levels"]["s1"]
        section["levels"]["s4"] = json.loads(json.dumps(fine))
        section["levels"]["s4"]["swim_settings"]["img_size"] = [125, 75]
        for name in ("cafm", "alt_cafm", "mir_afm", "mir_aim", "affine_matrix"):
            coarse = xy_rows(of_xy_rows(fine[name]).shrunk(4))
            section["levels"]["s4"][name] = section["levels"]["s4"]["results"][name] = coarse
            fine[name] = xy_rows(Affine())
    held["stack"][1]["notes"], held["stack"][1]["levels"]["s4"]["swim_settings"]["whitening"] = "a fold", -0.5
    held["level_data"]["s4"] = held["level_data"]["s1"]
    file.write_text(json.dumps(held))
    return file


def test_alignem_at_a_coarse_level_is_told_in_full_px(project: Path) -> None:
    turned = Affine.rotation(3, (150, 250)).compose(Affine.translation(4, -8))
    (_, second) = read_alignem(project).sections
    assert np.allclose(second.affine(CORNERS), turned(CORNERS), atol=EXACT_PX)
    assert second.shape == SHAPE and second.snr == (9.0, 11.0) and second.reference == 0
    assert second.match is not None and np.allclose(second.match(CORNERS), turned(CORNERS), atol=EXACT_PX)
    assert read_alignem(project, level=1).sections[1].affine == Affine()
    with pytest.raises(ParameterError, match=r"level: found 2; .* is aligned at 1, 4"):
        read_alignem(project, level=2)


def test_alignem_keeps_what_a_project_holds_beside(project: Path, tmp_path: Path) -> None:
    planted = stack_of([(Affine.translation(5, 6), False, [8.0]), (Affine.rotation(2), True, [7.0])])
    write_alignem(out := tmp_path / "out.swiftir", planted, Path("/elsewhere"), project)
    held, made = json.loads(project.read_text()), json.loads(out.read_text())
    for level in (1, 4):
        assert apart(read_alignem(out, level), planted) < EXACT_PX
    assert made["stack"][1]["notes"] == "a fold"
    assert made["stack"][1]["levels"]["s4"]["swim_settings"]["whitening"] == -0.5
    assert not made["stack"][1]["levels"]["s4"]["swim_settings"]["include"]
    assert {k: made[k] for k in made if k not in ("stack", "level_data")} == {
        k: held[k] for k in held if k not in ("stack", "level_data")
    }


def test_alignem_of_before_2023_is_read(tmp_path: Path) -> None:
    """Numbers of a public project: the second cumulative matrix is the second match after the first."""
    first = [[1.0086499452590942, -0.0025741399731487036, 4.469200134277344], [-0.004453740082681179, 1.050130009651184, 17.2]]
    results = [
        {"cumulative_afm": rows, "affine_matrix": rows, "snr": snr} for rows, snr in ((xy_rows(Affine()), [0.0]), (first, [12.5]))
    ]
    stack = [
        {"align_to_ref_method": {"method_results": one}, "skip": False, "images": {"base": {"filename": f"e/scale_1/{z}.tif"}}}
        for z, one in enumerate(results)
    ]
    (file := tmp_path / "old.json").write_text(json.dumps({"data": {"scales": {"scale_1": {"alignment_stack": stack}}}}))
    one, other = read_alignem(file).sections
    assert (one.affine, other.affine, other.file, other.snr) == (Affine(), of_xy_rows(first), "1.tif", (12.5,))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "is no JSON"),
        ("[]", "holds a JSON list"),
        ("{}", r"is no project of AlignEM-SWiFT: stack: Field required"),
        ('{"stack": [{"name": "a", "levels": {"s1": {"swim_settings": {"img_size": [5, 5]}}}}]}', "no level at which all sections"),
        ('{"stack": [{"levels": {"s1": {"swim_settings": {"img_size": [5, 5]}, "cafm": [[1]]}}}]}', r"stack.0.levels.s1.cafm"),
        ('{"data": {"scales": {"scale_1": {}}}}', "it lacks 'alignment_stack'"),
    ],
)
def test_what_is_no_project_of_alignem(text: str, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "p.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_alignem(file)


def test_a_project_of_other_sections_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 2 sections, the alignment 1"):
        write_alignem(tmp_path / "o", stack_of([(Affine(), False, [])]), Path("/i"), project)


@given(sections, st.floats(0.001, 0.02))
def test_pyreconstruct_and_lists_keep_affines(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn, mag: float) -> None:
    planted, folder = stack_of(drawn), tmp_path_factory.mktemp("field")
    planted = replace(planted, voxel_size_nm=(50.0, mag * 1000, mag * 1000))
    write_jser(folder / "p.jser", planted, Path("/images"), "emkit")
    found = read_jser(folder / "p.jser", SHAPE)
    assert apart(found, planted) < EXACT_PX
    assert found.voxel_size_nm == pytest.approx(planted.voxel_size_nm)
    assert [section.file for section in found.sections] == [section.file for section in planted.sections]
    write_list(folder / "p.txt", planted)
    assert apart(read_list(folder / "p.txt", SHAPE), planted) < EXACT_PX


@given(affines, st.tuples(st.floats(0, 299), st.floats(0, 499)))
def test_the_field_of_pyreconstruct_by_points(affine: Affine, shown: tuple[float, float]) -> None:
    """A pixel and where the common space shows it are one point of its field: µm, x first, y up from the lower left corner."""
    height, mag = SHAPE[0], 0.004
    a, b, tx, c, d, ty = to_six(affine, height, height, mag, mag)

    def point(y: float, x: float) -> tuple[float, float]:  # by hand: the middle of the last row lies half a px up
        return (x + 0.5) * mag, (height - (y + 0.5)) * mag

    y, x = affine(shown).tolist()
    at_x, at_y = point(y, x)
    assert (a * at_x + b * at_y + tx, c * at_x + d * at_y + ty) == pytest.approx(point(*shown), abs=1e-9 * mag * 1000)


def as_pyreconstruct_imports(project: Path, scale: int) -> list[list[float]]:
    """Px transforms of a project of AlignEM-SWiFT by the rule of PyReconstruct 1.20, in our words: the lower left corner (0, H) is
    followed, signs are turned for y up, shifts are scaled to s1. It takes the sizes for (height, width)."""
    found = []
    for section in json.loads(project.read_text())["stack"]:
        levels = section["levels"]
        first, second = np.array(levels[f"s{scale}"]["alt_cafm"])[:2]
        high, _ = levels[f"s{scale}"]["swim_settings"]["img_size"]
        factor = levels["s1"]["swim_settings"]["img_size"][0] / high
        shift_x, shift_y = first[1] * high + first[2], second[1] * high + second[2] - high
        found.append([first[0], -first[1], shift_x * factor, -second[0], second[1], -shift_y * factor])
    return found


@pytest.mark.parametrize("shape", [(400, 400), SHAPE])
def test_what_pyreconstruct_makes_of_a_project_of_alignem(shape: tuple[int, int], tmp_path: Path) -> None:
    """Of square sections the same to half a px of turn; of others it errs by the turn of the difference of their sides."""
    turned = Affine.rotation(3, (200, 200)).compose(Affine.translation(4, -8))
    planted = PlacedStack((PlacedSection("a.tif", turned, shape),))
    write_alignem(file := tmp_path / "p.swiftir", planted, Path("/images"))
    (six,) = as_pyreconstruct_imports(file, 1)
    off = float(np.abs(np.array(six) - to_six(turned, shape[0], shape[0]))[[2, 5]].max())
    assert off < 0.06 if shape[0] == shape[1] else off > 10


@pytest.fixture
def real(data_dir: Path) -> Path:
    return data_dir / "pyreconstruct/class_series.jser"


def without_the_new(held: dict[str, Any], name: str) -> dict[str, Any]:
    for section in held.values():
        section.get("tforms", {}).pop(name, None)
    return held


def test_a_real_project_of_pyreconstruct_keeps_all_that_is_no_alignment(real: Path, tmp_path: Path) -> None:
    """198 sections with their traces, in the form of 2022: NAME.number, as Python orders strings."""
    before = read_jser(real, (400, 700))
    assert len(before.sections) == 198 and before.voxel_size_nm == pytest.approx((50, 2.04844, 2.04844))
    assert [section.file[:3] for section in before.sections[:12]] == [f"{z:03d}" for z in range(12)]
    write_jser(out := tmp_path / "out.jser", before, Path("/images"), "emkit", real)
    assert apart(read_jser(out, (400, 700), "emkit"), before) < EXACT_PX
    held, made = json.loads(real.read_text()), json.loads(out.read_text())
    assert made["ZGBJYStudentv2.ser"].pop("alignment") == "emkit" and held["ZGBJYStudentv2.ser"].pop("alignment") == "default"
    assert list(made) == list(held)
    assert without_the_new(made, "emkit") == held
    with pytest.raises(ParameterError, match="has 'emkit' for .*nothing is overwritten"):
        write_jser(tmp_path / "again.jser", before, Path("/images"), "emkit", out)
    with pytest.raises(ParameterError, match="alignment: found 'other'; .* has LOCAL_d03, default, no-alignment"):
        read_jser(real, (400, 700), "other")
    assert all(np.allclose(s.affine(CORNERS), CORNERS) for s in read_jser(real, (400, 700), "no-alignment").sections)


def test_sections_of_pyreconstruct_of_different_px_share_a_space(tmp_path: Path) -> None:
    """The second was imaged at half the resolution: its px are twice as large, and it shows the same place."""
    section = {"thickness": 0.05, "tforms": {"default": [1, 0, 0.4, 0, 1, -0.2]}}
    sections = [None, {**section, "src": "a.tif", "mag": 0.004}, {**section, "src": "b.tif", "mag": 0.008, "calgrid": True}]
    (file := tmp_path / "p.jser").write_text(json.dumps({"sections": sections, "series": {}}))
    first, second = read_jser(file, (100, 100)).sections
    low = np.array([99.5, -0.5])  # the corner that both fields begin at
    assert np.allclose(second.affine([50, 70]) - low, (first.affine([50, 70]) - low) / 2, atol=EXACT_PX)
    assert (first.excluded, second.excluded) == (False, True)


@pytest.mark.parametrize(
    "held, message",
    [
        ({}, "needed: sections and a series"),
        ({"sections": [None], "series": {}}, "needed: sections and a series"),
        ({"sections": [{"src": "a", "mag": 0}], "series": {}}, "section 0, mag: Input should be greater than 0"),
        ({"sections": [{"src": "a", "mag": 1, "tforms": {"default": [1]}}], "series": {}}, "section 0, tforms.default"),
    ],
)
def test_what_is_no_project_of_pyreconstruct(held: dict[str, Any], message: str, tmp_path: Path) -> None:
    (file := tmp_path / "p.jser").write_text(json.dumps(held))
    with pytest.raises(DataError, match=message):
        read_jser(file, SHAPE)


@pytest.mark.parametrize("text", ["0 1 0 5 0 1", "0 1 0 0 0 1 0\n0 1 0 0 0 1 0", "a 1 0 0 0 1 0", "0 1 0 x 0 1 0"])
def test_what_is_no_list_of_transforms(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "p.txt").write_text(text)
    with pytest.raises(DataError, match=r"line [12]: found .*; needed: n a b tx c d ty"):
        read_list(file, SHAPE)
    file.write_text("\n")
    with pytest.raises(DataError, match="holds no transforms"):
        read_list(file, SHAPE)


@given(sections)
def test_trakem2_keeps_affines_sizes_and_lengths(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    planted, file = stack_of(drawn), tmp_path_factory.mktemp("trakem2") / "p.xml"
    write_trakem2(file, planted, Path('/images & "more"'))
    found = read_trakem2(file)
    assert apart(found, planted) < EXACT_PX
    assert [(s.file, s.shape) for s in found.sections] == [(s.file, s.shape) for s in planted.sections]
    assert found.voxel_size_nm == pytest.approx(planted.voxel_size_nm)


def test_the_matrix_of_trakem2_by_points(tmp_path: Path) -> None:
    """The corner of an image, half a px before the middle of its first one, goes to (tx, ty)."""
    turned = Affine.rotation(30, (10, 20)).compose(Affine.translation(3, -7))
    write_trakem2(file := tmp_path / "p.xml", stack_of([(turned, False, [])]), Path("/images"))
    (patch,) = read_project(file).patches
    a, b, c, d, tx, ty = patch.matrix
    assert np.allclose([ty, tx], turned.invert()([-0.5, -0.5]) + 0.5, atol=EXACT_PX)
    y, x = turned.invert()([40, 100])
    assert (a * 100.5 + c * 40.5 + tx, b * 100.5 + d * 40.5 + ty) == pytest.approx((x + 0.5, y + 0.5), abs=EXACT_PX)


LAYER = (
    '<t2_layer oid="{0}" thickness="11.25" z="{1}"><t2_patch oid="9{0}" file_path="C:\\em\\s{2}.tif" {3}>{4}</t2_patch></t2_layer>'
)
TRAKEM2 = (
    '<trakem2><project id="0"/><t2_layer_set oid="1" title="keep &lt; me"><t2_calibration pixelWidth="4.0" unit="nm"/>{}'
    "</t2_layer_set></trakem2>"
)


def test_trakem2_changes_nothing_but_matrices(tmp_path: Path) -> None:
    """Layers stand in the file in another order than their z; one patch has no matrix yet."""
    area = '<t2_area_list oid="77"><t2_path d="M 1 2 L 3 4 z"/></t2_area_list>'
    upper = LAYER.format(1, 11.25, 1, 'transform="matrix(1.0,0.0,0.0,1.0,5.0,6.5)" title="a"', "")
    text = TRAKEM2.format(upper + LAYER.format(2, 0.0, 0, "", "") + area)
    (file := tmp_path / "p.xml").write_text(text)
    first, second = read_trakem2(file).sections
    assert (first.file, second.file) == ("s0.tif", "s1.tif") and read_trakem2(file).voxel_size_nm == (45.0, 4.0, 4.0)
    assert np.allclose(second.affine([0, 0]), [-6.5, -5.0])
    planted = stack_of([(Affine.rotation(4), False, []), (Affine.translation(2, 3), False, [])])
    write_trakem2(out := tmp_path / "out.xml", planted, Path("/images"), file)
    assert apart(read_trakem2(out), planted) < EXACT_PX
    without = [re.sub(r'transform="[^"]*" ?', "", one.read_text()) for one in (file, out)]
    assert without[0] == without[1]


@pytest.mark.parametrize(
    "layers, message",
    [
        ("", "holds no patches"),
        (LAYER.format(1, 0, 0, "", "") + LAYER.format(2, 0, 1, "", ""), "holds 2 patches in the layer at z 0"),
        (LAYER.format(1, 0, 0, "", '<ict_transform_list id="3"/>'), r"s0.tif bends; needed: affines alone"),
        (LAYER.format(1, 0, 0, 'transform="matrix(1)"', ""), "patch 91 has the transform"),
        (LAYER.format(1, 0, 0, "", "").replace("11.25", "thick"), "found 'thick'; needed: a number"),
    ],
)
def test_what_is_no_stack_of_trakem2(layers: str, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "p.xml").write_text(TRAKEM2.format(layers))
    with pytest.raises(DataError, match=message):
        read_trakem2(file)


@given(sections)
def test_aligntk_keeps_affines_as_float32_can(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    planted, folder = stack_of(drawn), tmp_path_factory.mktemp("aligntk") / "p.maps"
    write_maps(folder, planted)
    found = read_maps(folder / "images.lst")
    assert apart(found, planted) < 1e-3
    assert [(s.file, s.shape) for s in found.sections] == [(Path(s.file).stem, s.shape) for s in planted.sections]


def test_maps_of_aligntk_by_points_straight_and_bent(tmp_path: Path) -> None:
    """Node (i, j) of an image is the point (32 i, 32 j) from its upper left corner, which is half a px before its first px."""
    turned = Affine.rotation(10, (150, 250))
    bends = np.random.default_rng(0).normal(0, 3, (8, 10, 2))
    bent = Elastic(turned, bends, 100.0)
    straight = stack_of([(turned, False, [])])
    for name, stack in (("a", straight), ("b", replace(straight, sections=(replace(straight.sections[0], bent=bent),)))):
        write_maps(folder := tmp_path / name, stack)
        nodes, places = read_nodes(folder / "s0.map")
        mapping = stack.sections[0].mapping
        assert len(nodes) == 11 * 17 and (nodes[0] == 0).all() and (nodes[-1] == (320, 512)).all()
        assert np.allclose(mapping(places - 0.5), nodes - 0.5, atol=1e-3)
    assert (tmp_path / "a/s0.map").read_bytes().startswith(b"M1\n5\n17 11\n0 0\ns0 aligned\n")
    assert (tmp_path / "a/images.lst").read_text() == "s0 500 300\n"
    with pytest.raises(DataError, match=r"s0.map bends: an affine is up to [0-9.]+ px off"):
        read_maps(tmp_path / "b/images.lst")


@pytest.mark.parametrize(
    "listed, content, message",
    [
        ("s0", b"", "line 1: found 's0'; needed: name width height"),
        ("\n", b"", "names no images"),
        ("s1 5 5", b"", "s1.map is missing"),
        ("s0 5 5", b"M2\n5\n1 1\n0 0\na b\n" + bytes(12), "is no whole map"),
        ("s0 5 5", b"M1\n5\n2 2\n0 0\na b\n" + bytes(12), "is no whole map"),
        ("s0 5 5", b"M1\n5\n2 2\n0 0\na b\n" + bytes(48), "holds 0 nodes with confidence"),
    ],
)
def test_what_is_no_map_of_aligntk(listed: str, content: bytes, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "images.lst").write_text(listed)
    (tmp_path / "s0.map").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_maps(file)


@given(sections)
def test_a_scene_of_ome_zarr_keeps_affines_and_excludes(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    planted, folder = stack_of(drawn), tmp_path_factory.mktemp("scene") / "p.zarr"
    write_scene(folder, planted)
    found = read_scene(folder / "zarr.json")
    assert apart(found, planted) < EXACT_PX and found.voxel_size_nm == planted.voxel_size_nm
    assert [(s.file, s.excluded) for s in found.sections] == [(s.file, s.excluded) for s in planted.sections]


def test_a_scene_of_ome_zarr_by_points(tmp_path: Path) -> None:
    """Nanometres of a section become nanometres of the volume; the sections lie on each other."""
    turned = Affine.rotation(7, (9, 4))
    write_scene(tmp_path / "s.zarr", stack_of([(Affine(), False, []), (turned, False, [])]))
    ome = json.loads((tmp_path / "s.zarr/zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.6" and [s["name"] for s in ome["scene"]["coordinateSystems"]] == ["aligned", "s0.tif", "s1.tif"]
    second = ome["scene"]["coordinateTransformations"][1]
    assert (second["input"], second["output"], second["type"]) == ({"name": "s1.tif"}, {"name": "aligned"}, "affine")
    z, y, x = np.array(second["affine"]) @ [0, *(turned([30, 40]) * 4.0), 1]
    assert (z, y, x) == pytest.approx((45, 120, 160))


def test_what_is_no_scene(tmp_path: Path) -> None:
    (file := tmp_path / "zarr.json").write_text('{"attributes": {"ome": {"version": "0.5"}}}')
    with pytest.raises(DataError, match="is no scene of sections: attributes.ome.scene: Field required"):
        read_scene(file)


@given(sections)
def test_scripts_of_mir_keep_affines(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> None:
    planted, file = stack_of(drawn), tmp_path_factory.mktemp("mir") / "p.mir"
    write_script(file, planted, Path("/images"))
    assert apart(read_script(file), planted) < EXACT_PX
    assert [section.file for section in read_script(file).sections] == [section.file for section in planted.sections]


def test_a_script_of_mir_to_the_letter(tmp_path: Path) -> None:
    """x first: px (y, x) of the volume shows px (y + 5, x + 7) of the section."""
    write_script(file := tmp_path / "p.mir", stack_of([(Affine.translation(5, 7), False, [])]), Path("/i"))
    script = "I 2\nB 500 300 1\nZ 0\nF /i/s0.tif\nA 1.0 0.0 7.0 0.0 1.0 5.0\nRW aligned_s0.tif\nE\n"
    assert file.read_text() == script
    with pytest.raises(DataError, match="mir takes no spaces in names"):
        write_script(file, stack_of([(Affine(), False, [])]), Path("/my images"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("B 5 5 1", "places no images"),
        ("F a\nA 1 2", "line 2: found 'A 1 2'"),
        ("A 1 0 0 0 1 0", "line 1: a matrix without an image"),
    ],
)
def test_what_is_no_script_of_mir(text: str, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "p.mir").write_text(text)
    with pytest.raises(DataError, match=message):
        read_script(file)
