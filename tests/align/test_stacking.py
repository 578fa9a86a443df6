"""A stack as a whole: planted maps come back but for one common map, whatever is wrong with single sections."""

import numpy as np
import pytest

from emkit.align import align_stack
from emkit.align.agreement import Agreement
from emkit.align.alignment import without_trend
from emkit.align.stacking import best_affines, near_pairs
from emkit.errors import DataError, ParameterError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine, CoordinateMap

SHAPE = (256, 256)
INNER = np.stack(np.meshgrid(np.linspace(50, 200, 5), np.linspace(50, 200, 5), indexing="ij"), axis=-1).reshape(-1, 2)


def stack(count: int) -> tuple[SectionPhantom, np.ndarray]:
    phantom = SectionPhantom(shape=SHAPE, count=count, seed=8)
    return phantom, np.stack([phantom.render_section(z) for z in range(count)])


def steps_px(maps: tuple[CoordinateMap, ...], phantom: SectionPhantom, of: list[int]) -> float:
    """How far the specimen jumps between successive ones of these sections, the median of the worst step."""
    shown = np.stack([phantom.affines[z].invert()(maps[z](INNER)) for z in of])
    return float(np.median(np.hypot(*np.moveaxis(np.diff(shown, axis=0), -1, 0)), axis=1).max())


@pytest.mark.parametrize("model", ["affine", "elastic"])
def test_every_section_comes_back(model: str) -> None:
    phantom, sections = stack(4)
    maps = align_stack(sections, model=model)  # type: ignore[arg-type]
    assert len(maps) == 4
    assert steps_px(maps, phantom, [0, 1, 2, 3]) < 1.5  # neurites wander by some px between sections, each its own way


def test_excluded_and_blank_sections_are_bridged_and_named() -> None:
    phantom, sections = stack(6)
    sections[3] = 90
    with pytest.warns(UserWarning, match=r"Section 3 matches no other \(SNR at most 0.00\)"):
        maps = align_stack(sections, exclude=[1])
    assert steps_px(maps, phantom, [0, 2, 4, 5]) < 3
    between = (maps[0](INNER) + maps[2](INNER)) / 2
    np.testing.assert_allclose(maps[1](INNER), between, atol=1e-9)


def test_a_stack_of_two_and_of_one() -> None:
    phantom, sections = stack(2)
    assert steps_px(align_stack(sections), phantom, [0, 1]) < 1.5
    assert align_stack(sections[:1]) == (Affine(),)


def test_what_is_no_stack_is_refused_with_scores() -> None:
    noise = np.random.default_rng(0).integers(1, 255, (3, *SHAPE), np.uint8)
    with pytest.raises(DataError, match=r"These 3 sections are no stack: no two of them match. The best: sections \d and \d: SNR"):
        align_stack(noise)


def test_a_mirrored_section_is_named() -> None:
    sections = stack(4)[1]
    sections[2] = sections[2][:, ::-1]
    with pytest.raises(DataError, match="Section 2 is mirrored"):
        align_stack(sections)


def test_sections_that_are_not_there_cannot_be_excluded() -> None:
    with pytest.raises(ParameterError, match="found section 9; needed: some of sections 0 to 1"):
        align_stack(stack(2)[1], exclude=[9])


def planted(count: int) -> tuple[list[Affine], dict[tuple[int, int], Agreement]]:
    """Small affine displacements of each section, and what pairs without any noise say of them."""
    draw = np.random.default_rng(1)
    truth = [Affine.of(np.eye(2) + draw.normal(0, 1e-3, (2, 2)), draw.normal(0, 0.5, 2)) for _ in range(count)]
    points = draw.uniform(0, 256, (40, 2))
    curvature = np.tile(np.diag([3.0, 2.0]), (40, 1, 1))
    said = {}
    for i, j in near_pairs(range(count)):
        d = truth[j](points) - truth[i](points)
        said[i, j] = Agreement(points, np.einsum("kab,kb->ka", curvature, d), curvature, np.zeros(1))
    return truth, said


def test_the_solve_gives_what_was_planted_and_does_not_move_the_stack() -> None:
    truth, said = planted(30)
    found = best_affines(30, said, SHAPE)
    common = np.mean([one(INNER) for one in truth], axis=0) - INNER
    for one, true in zip(found, truth, strict=True):
        np.testing.assert_allclose(one(INNER), true(INNER) - common, atol=1e-4)
    assert np.mean([np.linalg.det(one.linear) for one in found]) == pytest.approx(1, abs=1e-4)


def test_a_trend_along_the_stack_is_taken_out_and_differences_stay() -> None:
    grown = [Affine.of(np.eye(2) * (1 + 0.01 * z), (0, 0)) for z in range(5)]
    level = without_trend(grown, SHAPE)
    np.testing.assert_allclose([np.linalg.det(one.linear) for one in level], 1.02**2, rtol=1e-9)
    middle = np.array([[127.5, 127.5]])
    np.testing.assert_allclose([one(middle) for one in level], [one(middle) for one in grown])
