"""Alignments of other programs: what is written comes back to 1e-9 px, and every convention is shown by points."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emkit.errors import DataError, ParameterError
from emkit.io.alignments.alignem import read_alignem, write_alignem
from emkit.io.alignments.placed import PlacedSection, PlacedStack, between_centres, between_edges, of_xy_rows, xy_rows
from emkit.transforms import Affine

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
