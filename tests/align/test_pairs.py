"""Two sections whose true affine is known; what the match says of it, and of pairs that do not match."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from emkit.align.fit import fit_affine
from emkit.align.pairs import Match, coarse_scale, match_pair, patch_window, schedule
from emkit.errors import ParameterError
from emkit.phantoms import SectionPhantom
from emkit.transforms import Affine

SHAPE = (384, 384)
STILL = SectionPhantom(shape=SHAPE, count=3, seed=11, jitter=0)
INNER = np.stack(np.meshgrid(np.linspace(60, 320, 6), np.linspace(60, 320, 6), indexing="ij"), axis=-1).reshape(-1, 2)


def seen_through(image: np.ndarray, affine: Affine) -> np.ndarray:
    """The image f(p) = image(affine(p)): the affine maps its px → px of the image."""
    turned = ndimage.affine_transform(image.astype(float), affine.linear, affine.shift, order=3, mode="mirror")
    seen: np.ndarray = np.clip(np.rint(turned), 1, 255).astype(np.uint8)
    return seen


def error_px(match: Match, truth: Affine) -> float:
    return float(np.median(np.hypot(*(match.affine.apply(INNER) - truth.apply(INNER)).T)))


@settings(max_examples=8)
@given(st.floats(-6, 6), st.floats(0.96, 1.04), st.floats(0.96, 1.04), st.floats(-30, 30), st.floats(-30, 30))
def test_the_planted_affine_is_recovered(degrees: float, tall: float, wide: float, y: float, x: float) -> None:
    moving = STILL.render_section(0)
    turn = Affine.rotation(degrees, (192, 192)).compose(Affine.of(np.diag([tall, wide]), (192 * (1 - tall), 192 * (1 - wide))))
    truth = Affine.translation(y, x).compose(turn)
    noise = np.random.default_rng(5).normal(0, 6, SHAPE)
    fixed = np.clip(seen_through(moving, truth) + noise, 1, 255).astype(np.uint8)
    assert error_px(match_pair(fixed, moving), truth) < 0.15


@pytest.mark.parametrize("degrees", [45, 90, 180, -137])
def test_any_turn_is_found(degrees: float) -> None:
    moving = STILL.render_section(0)
    truth = Affine.rotation(degrees, (191.5, 191.5))
    inside = np.hypot(*(np.indices(SHAPE) - 191.5)) < 190
    match = match_pair(np.where(inside, seen_through(moving, truth), 0), moving)
    assert error_px(match, truth) < 0.3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neighbours_of_a_displaced_phantom_are_brought_back(seed: int) -> None:
    phantom = SectionPhantom(shape=SHAPE, count=2, seed=seed)
    truth = phantom.affines[1].compose(phantom.affines[0].invert())
    match = match_pair(phantom.render_section(0), phantom.render_section(1))
    assert error_px(match, truth) < 1.5  # neurites wander by some px between sections, each its own way
    assert match.snr > 7
    assert match.failure is None


def test_the_numbers_tell_neighbours_from_strangers() -> None:
    fixed, moving = STILL.render_section(0), STILL.render_section(1)
    stranger = SectionPhantom(shape=SHAPE, count=1, seed=99, jitter=0).render_section(0)
    good, bad = match_pair(fixed, moving), match_pair(fixed, stranger)
    assert good.snr > 7 > 4.6 > bad.snr
    assert good.inliers > 0.6 > 0.3 > bad.inliers
    assert good.residual_px < 4 < bad.residual_px


def test_a_shift_beyond_the_limit_is_not_looked_for() -> None:
    wide = SectionPhantom(shape=(384, 560), count=1, seed=11, jitter=0).render_section(0)
    fixed, moving = wide[:, 100:484], wide[:, :384]
    truth = Affine.translation(0, 100)
    assert error_px(match_pair(fixed, moving, 120), truth) < 0.3
    assert match_pair(fixed, moving, 40).snr < 5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16"])
def test_any_type_of_pixel_gives_the_same_affine(dtype: str) -> None:
    fixed, moving = (STILL.render_section(z) for z in range(2))
    plain, other = match_pair(fixed, moving), match_pair(fixed.astype(dtype), moving.astype(dtype))
    np.testing.assert_allclose(other.affine.rows, plain.affine.rows, atol=1e-4)


def test_sections_need_not_be_square() -> None:
    phantom = SectionPhantom(shape=(200, 420), count=2, seed=5)
    truth = phantom.affines[1].compose(phantom.affines[0].invert())
    match = match_pair(phantom.render_section(0), phantom.render_section(1))
    points = np.array([[60.0, 80.0], [60.0, 340.0], [140.0, 80.0], [140.0, 340.0]])
    assert np.median(np.hypot(*(match.affine.apply(points) - truth.apply(points)).T)) < 2


@pytest.mark.parametrize(("constant", "failure"), [(0, "fixed constant"), (1, "moving constant")])
def test_a_constant_section_is_a_failure_and_no_crash(constant: int, failure: str) -> None:
    pair = [STILL.render_section(0), STILL.render_section(1)]
    pair[constant] = np.full(SHAPE, 17, np.uint8)
    match = match_pair(pair[0], pair[1])
    assert (match.failure, match.snr, match.affine) == (failure, 0, Affine())


def test_sections_that_share_too_little_area_are_a_failure() -> None:
    wide = SectionPhantom(shape=(384, 740), count=1, seed=11, jitter=0).render_section(0)
    assert match_pair(wide[:, 356:], wide[:, :384]).failure in ("no overlap", None)  # found or not, never an exception


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ParameterError, match="one \\(y, x\\) shape for both"):
        match_pair(np.zeros((80, 80)), np.zeros((80, 90)))
    with pytest.raises(ParameterError, match="too small to align; needed: 64 px"):
        match_pair(np.zeros((80, 50)), np.zeros((80, 50)))


def test_windows_and_rounds_follow_the_size() -> None:
    assert [patch_window((n, 4096)) for n in (64, 127, 128, 200, 256, 9999)] == [32, 48, 64, 96, 128, 128]
    assert [coarse_scale((n, n)) for n in (64, 256, 257, 1024, 30000)] == [1, 1, 2, 4, 128]
    assert schedule((200, 200), 96, 1) == [(1, 96, 7), (1, 96, 11)]
    assert schedule((1024, 1024), 128, 4) == [(2, 128, 5), (2, 96, 7), (1, 128, 11)]


def test_the_fit_ignores_a_third_of_wrong_points() -> None:
    draw = np.random.default_rng(0)
    points = draw.uniform(0, 1000, (60, 2))
    truth = Affine.rotation(2, (500, 500)).compose(Affine.of(np.diag([1.01, 0.98]), (4, -7)))
    targets = truth.apply(points) + draw.normal(0, 0.05, (60, 2))
    targets[::3] += draw.uniform(-40, 40, (20, 2))
    fit = fit_affine(points, targets, np.ones(60))
    np.testing.assert_allclose(fit.affine.apply(points), truth.apply(points), atol=0.1)
    assert (fit.residual_px[1::3] < 0.3).all()
